"""How long something takes, beside others, on a machine that is never quite idle."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

LEAST_ROUNDS, SECONDS = 3, 2.0


def compare(ways: Mapping[str, Callable[[], float]], *, seconds: float = SECONDS) -> dict[str, float]:
    """Median seconds of each way; they take turns, so that what disturbs the machine disturbs all alike.

    Args:
        ways: what to time, by name: each call goes that way and returns the seconds it took. The first call of each
            does not count.
        seconds: to spend on each, about; at least three rounds.
    """
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds * len(ways)
    while time.perf_counter() < end or min(map(len, taken.values())) < LEAST_ROUNDS:
        for name, way in ways.items():
            taken[name].append(way())
    return {name: float(np.median(each)) for name, each in taken.items()}


def timed(act: Callable[[], object]) -> Callable[[], float]:
    """A way for `compare` that does something in this process."""

    def way() -> float:
        begin = time.perf_counter()
        act()
        return time.perf_counter() - begin

    return way


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
