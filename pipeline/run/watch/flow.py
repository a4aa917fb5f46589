"""How far a stage is: images done of how many, the rate of the last minute, the time that is left. Shows nothing."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_WINDOW_S = 60.0


@dataclass
class Flow:
    """One stage. `state` is what it does beside working: it loads, it waits for a place. Once it has ended its figures stand still."""

    stage: str
    done: int
    of: int
    clock: Callable[[], float] = time.monotonic
    images: int = 0
    tokens: int = 0
    failed: int = 0
    state: str = ""
    began: float = field(init=False)
    ended: float | None = None
    _steps: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def advance(self, images: int, tokens: int, failed: int) -> None:
        """So much more is done."""
        now = self.clock()
        self.images, self.tokens, self.failed = self.images + images, self.tokens + tokens, self.failed + failed
        self._steps.append((now, images, tokens))
        while self._steps[0][0] < now - _WINDOW_S:
            self._steps.popleft()

    def works(self) -> None:
        """It has nothing to wait for any more; time before the first image does not count against its rate."""
        if not self.images:
            self.began = self.clock()
        self.state = ""

    def end(self) -> None:
        """Nothing more comes."""
        if self.ended is None:
            self.ended, self.state = self.clock(), ""

    @property
    def is_complete(self) -> bool:
        return self.position >= self.of

    @property
    def position(self) -> int:
        """Images done, in earlier runs too."""
        return self.done + self.images

    def rates(self) -> tuple[float, float]:
        """Images and tokens a second over the last minute; after the end over all its time."""
        if self.ended is not None:
            seconds = max(self.ended - self.began, 1e-3)
            return self.images / seconds, self.tokens / seconds
        now = self.clock()
        since = max(now - _WINDOW_S, self.began)
        seconds = max(now - since, 1.0)
        steps = [step for step in self._steps if step[0] > since]
        return sum(images for _, images, _ in steps) / seconds, sum(tokens for _, _, tokens in steps) / seconds

    def eta_s(self) -> float | None:
        """Seconds until its last image at this rate; None where that cannot be told."""
        if self.is_complete:
            return 0.0
        rate = self.rates()[0] or (self.images / max(self.clock() - self.began, 1.0))
        return (self.of - self.position) / rate if rate else None

    def as_json(self) -> dict[str, Any]:
        eta_s = self.eta_s()
        content = {"stage": self.stage, "images": self.position, "of": self.of, "images_s": round(self.rates()[0], 2)}
        content |= {"eta_s": None if eta_s is None else round(eta_s, 1), "failed": self.failed}
        return content | ({"state": self.state} if self.state else {})

    def line(self) -> str:
        """All of it in words."""
        return ", ".join(part for part in (f"{self.position:,} of {self.of:,} images", self.pace(), self.left(), self.state) if part)

    def pace(self) -> str:
        images_s, tokens_s = self.rates()
        if not images_s:
            return ""
        return f"{images_s:,.1f} images/s" + (f", {tokens_s:,.0f} tok/s" if tokens_s >= 1 else "")

    def left(self) -> str:
        """The time that is left, or failed images once nothing is left."""
        eta_s = self.eta_s()
        failed = f"{self.failed:,} failed" if self.failed else ""
        left = "" if self.ended is not None or eta_s is None or self.is_complete else f"{duration(eta_s)} left"
        return ", ".join(part for part in (left, failed) if part)


def duration(seconds: float) -> str:
    """4:05, 1:04:05, 3 d 4 h."""
    whole = round(seconds)
    if whole >= 48 * 3600:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
