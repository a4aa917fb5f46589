"""What `fgdata gc` would remove, as paths below the workdir."""

from pipeline.commands.upkeep import superseded
from pipeline.ledger.state import State


def stale_paths(state: State) -> list[str]:
    """The superseded files that are named before anything is removed."""
    return [entry.path for _, entry in superseded(state, None).stale]
