"""A unit that two workers do is committed once: the driver grants it, whichever of them comes first and whoever dies meanwhile."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.ledger.items import Item
from pipeline.run.inputs import Task
from pipeline.run.pool import Member
from pipeline.run.watch import twice
from pipeline.run.watch.twice import Doubles
from pipeline.run.worker import Done


class Worker:
    """Keeps what it is asked, and hands out refs."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, []

    def __getattr__(self, method: str) -> Any:
        def remote(*arguments: object) -> str:
            self.asked.append(method)
            return f"{self.name}.{method}.{len(self.asked)}"

        return SimpleNamespace(remote=remote)


class Workers:
    """What of a pool the doubles use: members, and answers that the test gives."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members, self.given = members, {}

    def answers(self, refs: Sequence[Any]) -> dict[Any, Any]:
        return {ref: self.given[ref] for ref in refs if ref in self.given}


@pytest.fixture
def handed_out(monkeypatch: pytest.MonkeyPatch) -> tuple[Doubles, Member, Member, Task, str, str]:
    """A unit that both workers have: the doubles, the workers, the task, its two refs."""
    monkeypatch.setattr(twice, "_LEAST_S", -1.0)
    first, second = (Member(Worker(name), None, node_id="here") for name in "ab")
    task = Task(Item("unit", ()), "inputs", "label", {})
    ref = first.take(task)
    pool = Workers([first, second])
    doubles = Doubles(pool)  # type: ignore[arg-type]
    assert doubles.hand_out(0.0) == []
    pool.given["a.hold.2"] = True
    (again,) = doubles.hand_out(0.0)
    assert again.must_ask
    ((other, _),) = second.tasks.items()
    return doubles, first, second, task, ref, other


def test_whoever_is_first_is_granted_and_the_other_gives_up(handed_out: Any) -> None:
    doubles, first, second, task, ref, other = handed_out
    second.tasks.pop(other)
    assert doubles.settle(other, second, task, Done(is_held=True)) == "nothing"
    assert second.actor.asked == ["carry", "grant"]
    assert doubles.settle("b.grant.2", second, task, Done()) == "finish"
    assert first.actor.asked[-1] == "drop"
    assert doubles.settle(ref, first, task, Done(is_dropped=True)) == "nothing"
    assert doubles.settle(ref, first, task, Done()) is None


def test_both_ready_still_make_one_commit(handed_out: Any) -> None:
    doubles, first, second, task, ref, other = handed_out
    doubles.settle(ref, first, task, Done(is_held=True))
    assert doubles.settle(other, second, task, Done(is_held=True)) == "nothing"
    assert (first.actor.asked.count("grant"), second.actor.asked.count("grant")) == (1, 0)
    assert doubles.settle("a.grant.3", first, task, Done()) == "finish"
    assert second.actor.asked[-1] == "drop"


def test_a_worker_that_dies_with_the_grant_leaves_it_to_the_other(handed_out: Any) -> None:
    doubles, first, second, task, ref, other = handed_out
    doubles.settle(ref, first, task, Done(is_held=True))
    doubles.settle(other, second, task, Done(is_held=True))
    assert doubles.lost(first, [task]) == []
    assert second.actor.asked[-1] == "grant"
    assert doubles.settle("b.grant.2", second, task, Done()) == "finish"


def test_a_unit_that_both_lose_is_asked_again(handed_out: Any) -> None:
    doubles, first, second, task, _, _ = handed_out
    assert doubles.lost(first, [task]) == []
    assert doubles.lost(second, [task]) == [task]


def test_a_unit_that_was_handed_out_once_is_nobodys_business(handed_out: Any) -> None:
    doubles, first, _, _, _, _ = handed_out
    other = Task(Item("other", ()), "inputs", "label", {})
    assert doubles.settle("ref", first, other, Done()) is None
    assert doubles.lost(first, [other]) == [other]
