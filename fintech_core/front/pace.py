"""How slow a peer may be, and how many bytes are kept for slow ones."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """`grace` seconds for everything and one more for every `rate` bytes that have moved; `grace` without any moving.

    A peer that stalls is out of time after the grace, and one that trickles as soon as it is slower than the rate,
    whatever length it announced.
    """

    grace: float
    rate: int

    def deadline(self, *, started: float, moved: int, now: float) -> float:
        """When the next bytes have to have moved, the last of `moved` having done so `now`."""
        return self.grace + min(started + moved / self.rate, now)


class Budget:
    """Bytes that may be kept at once. Not for threads: belongs to the event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, count: int, *, share: float = 1) -> bool:
        """Whether `count` bytes more are within `share` of the limit; if so, they are used."""
        if self.used + count > self.limit * share:
            return False
        self.used += count
        return True

    def give_back(self, count: int) -> None:
        self.used -= count
