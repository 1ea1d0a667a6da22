"""How slow a peer may be, and how much is kept for slow ones: of all together, and of one network."""

import threading
from collections import Counter
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
    """What may be kept at once: bytes, or requests. One network may have a part of it, so that it can't lock out the
    others.
    """

    def __init__(self, limit: int, *, parts: int) -> None:
        """A network may have one of the `parts`."""
        self._limit, self._of_one = limit, limit // parts
        self.used = 0
        self._of: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reserve(self, network: str, count: int, *, regardless: bool = False) -> bool:
        """Whether `count` more are within the limits; if so, or `regardless` of them, they are used."""
        with self._lock:
            over = self.used + count > self._limit or self._of[network] + count > self._of_one
            if over and not regardless:
                return False
            self.used += count
            self._of[network] += count
            return True

    def release(self, network: str, count: int) -> None:
        with self._lock:
            self.used -= count
            self._of[network] -= count
            if not self._of[network]:
                del self._of[network]
