"""What an injected fault may do to a run, as counts. Injects none."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Harm:
    """Beside an undisturbed run: `lost`, `duplicated` count images, `torn`, `differing` files; all four should be 0.

    `injected`: how often the fault was; `seconds_to_notice`: from the fault until fgdata acted on it or said so; `wrong`: what else
    should not have happened.
    """

    injected: int = 0
    lost: int = 0
    duplicated: int = 0
    torn: int = 0
    differing: int = 0
    seconds_to_notice: float | None = None
    message: str = ""
    wrong: str = ""

    @property
    def is_done(self) -> bool:
        """Whether anything came to harm."""
        return bool(self.lost or self.duplicated or self.torn or self.differing or self.wrong)
