"""Whether a set is too small to be balanced, and what is to be said of it then. Counts in, a sentence out."""

from collections.abc import Collection, Mapping

# Reasons of the stage balance for candidates that the verdicts allow.
BALANCING = ("marginal", "probe", "group", "surplus", "duplicate")
_UNPAIRED = ("marginal", "group")
_FEW = 0.25


def too_small(released: int, rejects: Mapping[str, int], verdicts: Collection[str]) -> str | None:
    """What to say where balancing left few of the candidates, since too few texts stand against each other; None: it did not.

    `rejects` by reason; `verdicts` of the blind audit, empty where nothing was left. A set that the audit could judge is large enough.
    """
    allowed = released + sum(rejects.get(reason, 0) for reason in BALANCING)
    unpaired = sum(rejects.get(reason, 0) for reason in _UNPAIRED)
    if not unpaired or released >= _FEW * allowed or unpaired < allowed / 2 or "pass" in verdicts or "fail" in verdicts:
        return None
    return (
        f"too few texts to balance: of {allowed:,} candidates that the verdicts allow {released:,} are released, for {unpaired:,} no other "
        "text undoes the edit; set stages.balance.method: none to release what the verdicts allow, unbalanced, or give more images"
    )


def insufficient(verdicts: Collection[str]) -> str | None:
    """What an audit of too few items means for the export; None: it could say."""
    if "insufficient" not in verdicts or "fail" in verdicts:
        return None
    return "the blind audit has too few items to say whether texts alone give the negatives away; the gate refuses a failed audit alone"
