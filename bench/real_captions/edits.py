"""Edits that a strong writer would propose, and which of them the guard refuses wrongly, by a reader's judgement.

`edits_judged.jsonl`: phrases of ten photographs' regions (rounds 1 and 2), of the captions, and of imagined regions (from round 11), edits
written for them from the prompt alone and never revised, and those of them that a reader lets be refused. An edit that is refused and not
among these counts as wrong. `not_offered`: edits of words or under a type that the answer schema of the prompt v2 does not let through.
Of rounds that are `read_whole` (16 and 17) somebody who knew no rule read every edit: there what is accepted of
`rightly_refused` is doubtful.
"""

import json
from pathlib import Path
from typing import Any

from bench.real_captions.captions import Captions
from schemas.rows import Attribute
from stages.negatives.edits import Proposal, examine, known_of

_JUDGED = Path(__file__).with_name("edits_judged.jsonl")


def edit_figures(captions: Captions) -> dict[str, Any]:
    """`edits`, and `edits_not_offered`: by round how many edits, how many refused and how many of these wrongly.

    Of rounds that somebody read whole also how many of the accepted ones are `doubtful`: they could be true beside the old text.
    """
    rounds = judged_rounds(captions.verbose)
    others = judged_rounds(captions.verbose, of="not_offered")
    for name, counts in [*rounds.items(), *((f"{name}, not offered", counts) for name, counts in others.items())]:
        doubtful = f"; of {counts['edits'] - counts['refused']} accepted {counts['doubtful']} doubtful" if "doubtful" in counts else ""
        print(f"round {name}: {counts['edits']} edits, {counts['refused']} refused, {counts['wrongly']} of these wrongly{doubtful}")
    return {"edits": rounds, "edits_not_offered": others}


def judged_rounds(verbose: bool = False, of: str = "edits") -> dict[str, dict[str, int]]:
    """The counts `edits`, `refused`, `wrongly` and, where every edit was read, `doubtful` of each round.

    `of` names the kept edits, `verbose` tells what is refused wrongly, and what is accepted though it is doubtful.
    """
    rounds: dict[str, dict[str, int]] = {}
    for line in _JUDGED.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if of not in row:
            continue
        short, noun = row["texts"][0], row["noun"]
        counts = rounds.setdefault(str(row["round"]), {"edits": 0, "refused": 0, "wrongly": 0})
        known = known_of(row["texts"], [Attribute(type=kind, value=value) for kind, value in row.get("attributes", ())], [noun])
        if row.get("read_whole"):
            counts.setdefault("doubtful", 0)
        for kind, old, new in row[of]:
            examined = examine(Proposal(type=kind, old=old, new=new), short, noun, known)
            is_refused = isinstance(examined, str)
            may_be_true = [kind, old, new] in row["rightly_refused"]
            is_wrong = is_refused and not may_be_true
            counts["edits"] += 1
            counts["refused"] += is_refused
            counts["wrongly"] += is_wrong
            if "doubtful" in counts:
                is_doubtful = may_be_true and not is_refused
                counts["doubtful"] += is_doubtful
                if is_doubtful and verbose:
                    print(f"accepted, and doubtful: {kind} {old} > {new} in '{short}'")
            if is_wrong and verbose:
                print(f"refused wrongly as {examined}: {kind} {old} > {new} in '{short}'")
    return rounds
