"""Keeps the stages of a run going: ends those that are done, moves places to those that wait, mends what hangs, tells how they stand."""

import time
from collections.abc import Mapping, Sequence

from pipeline.config.model import Config
from pipeline.run.cluster.holdings import check_alive, demand, joined_nodes, num_placed, offered
from pipeline.run.lane import Lane
from pipeline.run.pool import PoolError
from pipeline.run.watch.progress import AnyWatcher
from pipeline.run.watch.watchdog import Silence
from stages.engines.specs import Resources

_YIELD_S, _NAME_EVERY_S, _LOOK_EVERY_S = 10.0, 30.0, 2.0
_LOOKED_FOR_ALONE = 3


class Keeper:
    """Over the lanes of one drive, called each time something may have changed."""

    def __init__(self, config: Config, watcher: AnyWatcher, lanes: Mapping[str, Lane]) -> None:
        self._placement, self._watcher, self._lanes = config.placement, watcher, lanes
        self._named: dict[str, float] = {}
        self._looked = 0.0

    def tick(self) -> None:
        """Look at all lanes, and act.

        Raises: PoolError where a stage has waited in vain for a place that no node has; RayEnded where Ray has ended.
        """
        if time.monotonic() > self._looked + _LOOK_EVERY_S:
            check_alive()
            self._looked = time.monotonic()
        for lane in self._lanes.values():
            lane.pool.reap()
            if not lane.is_over and not lane.is_busy and self._is_all_before_over(lane):
                self._end(lane)
            if not lane.is_over and (lane.is_busy or not lane.has_rested):
                lane.pool.wake()
        self._move_places()
        for lane in self._lanes.values():
            if not lane.is_over:
                self._tell(lane)
                self._mend(lane)
                if not lane.ready and not lane.suspects and lane.proof.is_settled and lane.node.scope == "unit":
                    self._ask_twice(lane)

    def _is_all_before_over(self, lane: Lane) -> bool:
        return all(self._lanes[name].is_over for name in lane.node.reads if name in self._lanes)

    def _end(self, lane: Lane) -> None:
        """Nothing comes any more: the stage gives back what it holds."""
        lane.is_over = True
        lane.ended = time.monotonic()
        lane.pool.rest()
        self._watcher.finish(lane.node.name)

    def _move_places(self) -> None:
        """A stage that has work and no place for any worker gets those of stages that have none."""
        now = time.monotonic()
        for lane in self._lanes.values():
            since = [asked for asked, is_placed in lane.pool.unborn() if not is_placed] if lane.is_busy and not lane.pool.num_born else []
            if not since or now - min(since) < _YIELD_S or not num_placed(lane.pool.job.resources, joined_nodes()):
                continue
            for other in self._lanes.values():
                if other is not lane and not other.is_busy and other.pool.members:
                    other.has_rested = True
                    other.pool.rest()
                    self._watcher.note(f"{other.node.name} gives its places back, since {lane.node.name} waits for one")

    def _tell(self, lane: Lane) -> None:
        now, unborn, name = time.monotonic(), lane.pool.unborn(), lane.node.name
        waiting = [asked for asked, is_placed in unborn if not is_placed]
        loading = [asked for asked, is_placed in unborn if is_placed]
        if lane.pool.num_born or not unborn:
            self._watcher.state(name, "")
        elif loading:
            self._watcher.state(name, f"loading {_models(lane)}, {now - min(loading):.0f} s")
        else:
            self._watcher.state(name, f"waiting for a place, {now - min(waiting):.0f} s")
        if waiting and now - max(min(waiting), self._named.get(name, 0.0)) >= _NAME_EVERY_S:
            self._named[name] = now
            self._name(lane, len(waiting), now - min(waiting))

    def _name(self, lane: Lane, num_waiting: int, seconds: float) -> None:
        wanted, nodes, name = lane.pool.job.resources, joined_nodes(), lane.node.name
        has_place = bool(num_placed(_for_one_worker(wanted), nodes))
        where = "others are there" if has_place else f"no node holds it; the nodes are {offered(nodes)}"
        words = f"{num_waiting} of {wanted.actors} workers have waited {seconds:.0f} s for a place of {demand(wanted)} each: {where}"
        if not has_place and not lane.pool.num_born and not self._placement.wait_for_nodes and seconds > self._placement.patience_s:
            raise PoolError(
                f"{name}: {words}; add nodes or lower placement.stages.{name}, then run again; where nodes come on demand, set "
                "placement.wait_for_nodes"
            )
        self._watcher.note(f"{name}: {words}")

    def _mend(self, lane: Lane) -> None:
        """Units that are silent are given up and asked again elsewhere; where that does not help, their worker is ended."""
        silent = list(lane.watchdog.look(lane.pool))
        for member in {id(silence.member): silence.member for silence in silent}.values():
            mine = [silence for silence in silent if silence.member is member and silence.ref not in lane.given_up]
            if mine and not member.is_ended:
                self._watcher.note(f"{_silence_text(lane, mine)}: {self._act(lane, mine)}")
        for ref, since in list(lane.given_up.items()):
            holder = next((each for each in lane.pool.members if ref in each.tasks), None)
            if holder is None:
                del lane.given_up[ref]
            elif time.monotonic() - since > min(_YIELD_S, lane.watchdog.limit_s) and not holder.is_ended:
                lane.pool.end(holder)

    def _act(self, lane: Lane, silent: Sequence[Silence]) -> str:
        member = silent[0].member
        if all(silence.phase == "working" for silence in silent):
            return "it is left alone"
        for silence in silent:
            lane.hangs[silence.task.item.id] += 1
        is_hopeless = any(lane.hangs[silence.task.item.id] > 1 for silence in silent) and not lane.is_remote
        if member.is_alone or is_hopeless or any(silence.phase is None for silence in silent):
            lane.pool.end(member)
            return "its worker is ended, and its units are asked again"
        for silence in silent:
            lane.given_up[silence.ref] = time.monotonic()
            lane.avoid[silence.task.item.id] = member.actor
            member.actor.drop.remote(silence.task.item.id)
        return "asked again" + (" elsewhere" if len(lane.pool.members) > 1 else "")

    def _ask_twice(self, lane: Lane) -> None:
        for task in lane.doubles.hand_out(lane.mean_s):
            self._watcher.note(f"{lane.node.name}: {task.item.id} takes long and is asked a second time")


def is_to_be_looked_for_alone(lane: Lane, item_id: str) -> bool:
    """Whether a unit has hung so often that it is asked alone, to find what in it does."""
    return lane.node.scope == "unit" and not lane.is_remote and lane.hangs[item_id] >= _LOOKED_FOR_ALONE


def _silence_text(lane: Lane, silent: Sequence[Silence]) -> str:
    names = [silence.task.item.id for silence in silent]
    units = f"{len(names)} units ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if len(names) > 1 else f"unit {names[0]}"
    return f"{lane.node.name}: {units} without a sign for {max(silence.seconds for silence in silent):.0f} s, {silent[0].cause}"


def _models(lane: Lane) -> str:
    names = [str(getattr(spec, "model", spec.kind)) for spec in lane.pool.job.specs.values()]
    return " and ".join(dict.fromkeys(names)) or "the stage"


def _for_one_worker(wanted: Resources) -> Resources:
    return wanted.model_copy(update={"actors": 1})
