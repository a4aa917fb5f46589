"""Attribute values in phrases of the captions, against what a reader found in them: how many are known, how many matches are false.

values_judged.jsonl: phrases drawn from the long captions (sample `any`: evenly; `rare`: with a word of a rare type, or one that ends
like an adjective), each with the values that a reader saw in it before the recogniser was asked.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from bench.real_captions.captions import Captions
from schemas.rows import ATTRIBUTE_TYPES
from stages.words.values import values_in

_JUDGED = Path(__file__).with_name("values_judged.jsonl")


def value_figures(captions: Captions) -> dict[str, Any]:
    """`values`: type -> how many a reader saw (`said`), the share of them `known`, and the share of matches that is `false`."""
    stated, known, matched, false = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for line in _JUDGED.read_text(encoding="utf-8").splitlines():
        phrase = json.loads(line)
        wanted = {(kind, value) for kind, value in phrase["values"]}
        recognised = {(value.type, value.value) for value in values_in(phrase["text"])}
        stated.update(kind for kind, _ in wanted)
        known.update(kind for kind, _ in wanted & recognised)
        matched.update(kind for kind, _ in recognised)
        false.update(kind for kind, _ in recognised - wanted)
        if captions.verbose and recognised != wanted:
            print(f"{phrase['text']}: unknown {sorted(wanted - recognised)}, false {sorted(recognised - wanted)}")
    figures = {
        kind: {
            "said": stated[kind],
            "known": round(known[kind] / max(1, stated[kind]), 3),
            "matches": matched[kind],
            "false": round(false[kind] / max(1, matched[kind]), 3),
        }
        for kind in ATTRIBUTE_TYPES
    }
    return {"values": figures}
