"""Which candidates may be released at all, by their verdicts. Knows no distribution, no block and no engine."""

from schemas.rows import Negative, RegionNegatives


def positive_refusal(region: RegionNegatives, *, allows_unverified: bool) -> str | None:
    """Why no candidate of this text may be released: its positive is not known to be true. None: they may be."""
    if region.positive_verdict == "true" or (region.positive_verdict == "unverified" and allows_unverified):
        return None
    return "positive_unverified" if region.positive_verdict == "unverified" else f"positive_{region.positive_verdict}"


def refusal(negative: Negative, *, allows_unverified: bool) -> str | None:
    """Why this candidate may not be released: it is not known to be false. None: it may be."""
    if negative.verdict == "false" or (negative.verdict == "unverified" and allows_unverified):
        return None
    return "unverified" if negative.verdict == "unverified" else f"verdict_{negative.verdict}"
