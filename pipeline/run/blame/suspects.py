"""The search for images that end an engine: of one unit, what to ask next, given what lived and what died. Asks nothing itself.

A death that cannot be attributed makes its units suspects. A suspect runs whole with nothing else on its worker; where it dies, its
halves are probed, and halves of halves. Halving only finds: the unit then runs whole without what was found. An image is found only
where it has ended its engine twice alone and another image, asked in between, lived.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Part = tuple[int, int]  # positions [first, end) in the unit

_WITNESSES = 3
_TWICE = 2


@dataclass(frozen=True)
class Whole:
    """Run the unit without the quarantined and commit it: in one part or, where parts live that die together, in several."""

    quarantined: frozenset[int]
    parts: tuple[Part, ...]
    name: str


@dataclass(frozen=True)
class Probe:
    """Ask this part and commit nothing."""

    part: Part

    @property
    def name(self) -> str:
        return f"{self.part[0]}-{self.part[1]}"


@dataclass(frozen=True)
class Witness:
    """Ask an image of another unit: none of this one has lived, so that the engine itself may be at fault."""


@dataclass(frozen=True)
class Hopeless:
    """Everything died that was asked: no image is to blame, and the run must stop."""


Ask = Whole | Probe | Witness | Hopeless


@dataclass
class Search:
    """One suspect unit of `size` images. `deaths` counts by the name of what was asked alone; marks keep them between drivers."""

    size: int
    deaths: Counter[str] = field(default_factory=Counter)
    _lived: dict[Part, int] = field(default_factory=dict)  # part -> how many images were asked in it
    _lives: int = 0
    _lives_at_death: dict[int, int] = field(default_factory=dict)
    _no_mates: set[int] = field(default_factory=set)
    _has_no_witness: bool = False
    _dead_witnesses: int = 0

    @classmethod
    def resumed(cls, size: int, marks: Mapping[str, int]) -> "Search":
        """The search as the marks of earlier drivers leave it; what lived then is asked again."""
        return cls(size, Counter(marks))

    @property
    def quarantined(self) -> frozenset[int]:
        """Positions of the images that were found."""
        return frozenset(first for first in range(self.size) if self._deaths((first, first + 1)) >= _TWICE)

    def next(self) -> Ask:
        """What to ask now."""
        quarantined = self.quarantined
        whole = Whole(quarantined, ((0, self.size),), f"whole-{len(quarantined)}")
        if not self.deaths[whole.name]:
            return whole if not quarantined or not self._open() else self._search()
        if self._open():
            return self._search()
        return whole if self.deaths[whole.name] < _TWICE else self._in_parts(quarantined)

    def lived(self, ask: Ask, num_asked: int) -> None:
        """What was asked came back; of `num_asked` images an engine was asked."""
        if num_asked:
            self._lives += 1
            self._dead_witnesses = 0
        if isinstance(ask, Probe):
            self._lived[ask.part] = num_asked
            if not num_asked:
                self._no_mates.add(ask.part[0])

    def died(self, ask: Ask) -> str | None:
        """The worker ended with this in flight, alone; returns the name that a mark remembers."""
        if isinstance(ask, Witness):
            self._dead_witnesses += 1
            return None
        assert isinstance(ask, Whole | Probe), "nothing else is asked"
        self.deaths[ask.name] += 1
        if isinstance(ask, Probe) and _is_single(ask.part):
            self._lives_at_death[ask.part[0]] = self._lives
            self._no_mates.add(ask.part[0])
            self._lived.pop(ask.part, None)
        return ask.name

    def no_witness(self) -> None:
        """There is no other unit whose image could be asked."""
        self._has_no_witness = True

    def _deaths(self, part: Part) -> int:
        return self.deaths[Probe(part).name]

    def _open(self) -> list[Part]:
        """What is still to be asked below the whole, in order: halves of what died, and images that died once."""
        whole = (0, self.size)
        return [whole] if self.size == 1 and self._is_open(whole) else list(self._open_below(whole))

    def _open_below(self, part: Part) -> Iterator[Part]:
        for half in _halves(part):
            if half not in self._lived:
                if self._is_open(half):
                    yield half
                elif self._deaths(half):
                    yield from self._open_below(half)

    def _is_open(self, part: Part) -> bool:
        return part not in self._lived and self._deaths(part) < (_TWICE if _is_single(part) else 1)

    def _search(self) -> Ask:
        fresh: list[Part] = []
        again: list[Part] = []
        for part in self._open():
            (again if self._deaths(part) else fresh).append(part)
        ready = [part for part in again if self._lives > self._lives_at_death.get(part[0], 0)]
        if ready or not again:
            return Probe((ready or fresh)[0])
        mate = self._mate()
        if mate is not None:
            return Probe(mate)
        if fresh and (len(again) < _TWICE or self._has_no_witness):
            return Probe(fresh[0])
        return Hopeless() if self._has_no_witness or self._dead_witnesses >= _WITNESSES else Witness()

    def _mate(self) -> Part | None:
        """One image of a part that has lived."""
        parts = [part for part, num_asked in self._lived.items() if num_asked]
        mates = (first for part in parts for first in range(*part) if first not in self._no_mates)
        first = next(mates, None)
        return None if first is None else (first, first + 1)

    def _in_parts(self, quarantined: frozenset[int]) -> Ask:
        """The largest parts that live, halved as often as they have died one after another in one worker."""
        parts = tuple(self._living((0, self.size), quarantined))
        for depth in range(self.size.bit_length() + 1):
            name = f"parts-{len(quarantined)}-{depth}"
            if self.deaths[name] < _TWICE:
                return Whole(quarantined, parts, name)
            parts = tuple(half for part in parts for half in (_halves(part) or [part]))
        return Hopeless()

    def _living(self, part: Part, quarantined: frozenset[int]) -> Iterator[Part]:
        if part in self._lived or _is_single(part):
            if not set(range(*part)) <= quarantined:
                yield part
            return
        for half in _halves(part):
            yield from self._living(half, quarantined)


def _is_single(part: Part) -> bool:
    return part[1] - part[0] == 1


def _halves(part: Part) -> Sequence[Part]:
    first, end = part
    middle = (first + end) // 2
    return [(first, middle), (middle, end)] if end - first > 1 else []


@dataclass
class Indivisible:
    """A block or a whole shard whose worker ended: it has no engine that an image could end, so it is run alone a few times."""

    num_deaths: int = 0

    @property
    def quarantined(self) -> frozenset[int]:
        return frozenset()

    def next(self) -> Ask:
        """Run it, or nothing."""
        return Whole(frozenset(), (), "whole-0") if self.num_deaths < _WITNESSES else Hopeless()

    def lived(self, ask: Ask, num_asked: int) -> None:
        """It was run: nothing is to be remembered."""

    def died(self, ask: Ask) -> str | None:
        """It died once more in this run."""
        self.num_deaths += 1
        return "whole-0" if isinstance(ask, Whole) else None

    def no_witness(self) -> None:
        """None is asked for."""
