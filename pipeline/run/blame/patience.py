"""How long an engine's server has been away, when it is asked again, and what the user is told. Asks nothing itself."""

from dataclasses import dataclass

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


class StayedAway(ValueError):
    """A server was away for longer than `placement.patience_s`; nothing is failed for it."""


@dataclass
class Patience:
    """How long the engine's server has been away, and when it is asked again."""

    stage: str
    limit_s: float
    since: float | None = None
    until: float = 0.0
    _pause_s: float = _FIRST_PAUSE_S

    def away(self, now: float, words: str) -> str | None:
        """Nobody answered; the words for the user, once a pause.

        Raises: StayedAway once the server has stayed away for too long.
        """
        if self.since is None:
            self.since = now
        gone_s = now - self.since
        if gone_s >= self.limit_s:
            raise StayedAway(
                f"{self.stage}: {words}; waited {gone_s:.0f} s (placement.patience_s is {self.limit_s:g}) and nothing is failed: "
                "start the server or correct base_url, then run again"
            )
        if now < self.until:
            return None
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self.until = now + min(pause_s, self.limit_s - gone_s)
        return f"{self.stage}: {words}; away for {gone_s:.0f} s, asked again in {self.until - now:.0f} s"

    def back(self) -> None:
        """The server has answered."""
        self.since, self._pause_s, self.until = None, _FIRST_PAUSE_S, 0.0

    def num_to_ask(self, now: float, num_in_flight: int) -> int | None:
        """How many items may be sent: None, any number; while the server is away one at a time, after a pause."""
        if self.since is None:
            return None
        return 1 if now >= self.until and not num_in_flight else 0
