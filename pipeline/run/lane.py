"""One stage at work: what waits, what is suspect, whether any image has come back well yet, whether its server is away. Runs nothing."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.graph import Node
from pipeline.ledger.items import Item
from pipeline.run.blame.asking import Findings
from pipeline.run.blame.patience import Patience
from pipeline.run.blame.suspects import Ask, Indivisible, Search
from pipeline.run.inputs import Task
from pipeline.run.pool import Pool
from pipeline.run.watch.twice import Doubles
from pipeline.run.watch.watchdog import Watchdog

_ALIKE_IMAGES, _ALIKE_UNITS = 64, 3


class StageStopped(RuntimeError):
    """A stage can do no good as it is: one line with the reason and one example. Nothing of what failed so is committed."""


@dataclass
class StageFigures:
    """What one stage did in this run. `asked` counts images that it looked at itself, `good` those that did not fail."""

    units: int = 0
    images: int = 0
    tokens: int = 0
    deaths: int = 0
    asked: int = 0
    good: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    asks: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0
    wall_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "images": self.images,
            "tokens": self.tokens,
            "deaths": self.deaths,
            "asked": self.asked,
            "good": self.good,
            "statuses": dict(self.statuses),
            "reasons": dict(self.reasons),
            "busy_s": round(self.busy_s, 3),
            "wall_s": round(self.wall_s, 3),
        }


@dataclass
class Proof:
    """Whether the stage has done any good. Until then units that failed whole are withheld: they may say more of the stage than of them."""

    stage: str
    is_settled: bool
    withheld: list[Item] = field(default_factory=list)
    _images: Counter[str] = field(default_factory=Counter)
    _units: Counter[str] = field(default_factory=Counter)

    def withhold(self, item: Item, findings: Findings) -> None:
        """Keep a failed unit back.

        Raises: StageStopped where this makes 64 images or three units that failed alike.
        """
        self.withheld.append(item)
        self._images.update(findings.failures)
        if len(findings.failures) == 1:
            self._units.update(findings.failures.keys())
        for reason in findings.failures:
            if self._images[reason] >= _ALIKE_IMAGES or self._units[reason] >= _ALIKE_UNITS:
                raise StageStopped(
                    f"{self.stage} was stopped: its first {self._images.total()} images failed, none came back well; "
                    f"{reason} {self._images[reason]}, such as {findings.examples[reason]}; nothing of it is committed"
                )

    def settle(self) -> list[Item]:
        """It is known: from now on everything is committed. Returns what was withheld, to be run again."""
        self.is_settled = True
        withheld, self.withheld = self.withheld, []
        return withheld


@dataclass
class Suspect:
    """A unit that was in flight when its engine ended, and the search in it."""

    item: Item
    search: Search | Indivisible
    witnesses: Iterator[tuple[Item, int]] | None = None
    dead_witness: str | None = None


@dataclass
class Lane:
    """One stage at work: what can be run now, what must be run alone, what is in flight."""

    node: Node
    pool: Pool
    proof: Proof
    patience: Patience
    ready: deque[Item] = field(default_factory=deque)
    suspects: deque[Suspect] = field(default_factory=deque)
    alone: tuple[Suspect, Ask, Task] | None = None
    offered: set[str] = field(default_factory=set)
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(900.0))
    hangs: Counter[str] = field(default_factory=Counter)
    given_up: dict[Any, float] = field(default_factory=dict)
    avoid: dict[str, Any] = field(default_factory=dict)
    has_rested: bool = False
    is_over: bool = False
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    mean_s: float = 0.0
    doubles: Doubles = field(init=False)

    def __post_init__(self) -> None:
        self.doubles = Doubles(self.pool)

    @property
    def num_in_flight(self) -> int:
        """How many tasks the workers have."""
        return self.pool.num_in_flight

    @property
    def is_remote(self) -> bool:
        """Whether an engine answers from elsewhere, so that no worker of ours is at fault where it is silent."""
        return any(spec.is_remote for spec in self.pool.job.specs.values())

    @property
    def wall_s(self) -> float:
        """From its beginning to its end, or until now."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def is_at_work(self) -> bool:
        """Whether something is in flight or waits to be."""
        return bool(self.num_in_flight or self.ready or self.suspects or self.alone)

    @property
    def is_busy(self) -> bool:
        """The same, or whether something is withheld until more is known."""
        return self.is_at_work or bool(self.proof.withheld)

    def take_alone(self, task: Task) -> tuple[Suspect, Ask] | None:
        """The suspect that was asked with this task, None for an ordinary one."""
        if self.alone is None or self.alone[2] is not task:
            return None
        suspect, ask, _ = self.alone
        self.alone = None
        self.suspects.appendleft(suspect)
        return suspect, ask
