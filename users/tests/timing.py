"""Whether somebody who measures answers can tell cases apart (A-57): interleaved samples, compared robustly."""

import random
import statistics
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

MEDIANS_APART = 0.1  # of the larger one
# The chance that an answer of one case takes longer than one of another: a half where nothing can be told apart. With
# 200 samples each its own noise has a standard deviation of 0.03.
CHANCE_APART = 0.15
SECOND_MEASUREMENT = 10_000


def interleaved(asks: Mapping[str, Callable[[int], Any]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds per case. Every round asks each case once, in another order, so that a busy machine is busy for all.

    An ask is given a number that no other gets.
    """
    dice = random.Random(57)  # noqa: S311 - an order, repeatable
    samples: dict[str, list[float]] = {name: [] for name in asks}
    number = 0
    for _ in range(rounds):
        for name in dice.sample(list(asks), len(asks)):
            number += 1
            started = time.perf_counter()
            asks[name](number)
            samples[name].append(time.perf_counter() - started)
    return samples


def assert_never_told_apart(asks: Mapping[str, Callable[[int], Any]], *, rounds: int = 200) -> None:
    """Who can tell the cases apart can do it twice; a machine's hiccup can't."""
    try:
        assert_inseparable(interleaved(asks, rounds=rounds))
    except AssertionError:
        assert_inseparable(interleaved({name: _later(ask) for name, ask in asks.items()}, rounds=rounds))


def _later(ask: Callable[[int], Any]) -> Callable[[int], Any]:
    """The same with numbers that the first measurement didn't use."""
    return lambda number: ask(SECOND_MEASUREMENT + number)


def assert_inseparable(samples: Mapping[str, Sequence[float]]) -> None:
    for (one, first), (other, second) in combinations(samples.items(), 2):
        medians = statistics.median(first), statistics.median(second)
        chance = chance_of_longer(first, second)
        told = f"{one} {medians[0]:.4f} s, {other} {medians[1]:.4f} s, chance {chance:.2f}"
        assert abs(medians[0] - medians[1]) < MEDIANS_APART * max(medians), told
        assert abs(chance - 0.5) < CHANCE_APART, told


def chance_of_longer(first: Sequence[float], second: Sequence[float]) -> float:
    """How probable it is that a sample of the first is larger than one of the second (Mann and Whitney)."""
    ordered = sorted(second)
    beaten = sum((bisect_left(ordered, value) + bisect_right(ordered, value)) / 2 for value in first)
    return beaten / (len(first) * len(second))
