"""How long something takes beside others, on a machine that is never quite idle."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

MIN_ROUNDS, DEFAULT_SECONDS = 3, 2.0


def compare(contenders: Mapping[str, Callable[[], float]], *, seconds: float = DEFAULT_SECONDS) -> dict[str, float]:
    """Median seconds of each contender. They take turns, so that a disturbance of the machine meets all of them.

    Args:
        contenders: by name, a callable that does the work once and returns the seconds it took. The first call of
            each does not count.
        seconds: time to spend on each, about; there are at least three rounds.
    """
    for contender in contenders.values():
        contender()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + seconds * len(contenders)
    while time.perf_counter() < end or min(map(len, taken.values())) < MIN_ROUNDS:
        for name, contender in contenders.items():
            taken[name].append(contender())
    return {name: float(np.median(each)) for name, each in taken.items()}


def timed(act: Callable[[], object]) -> Callable[[], float]:
    """A contender for `compare` that does its work in this process."""

    def contender() -> float:
        begin = time.perf_counter()
        act()
        return time.perf_counter() - begin

    return contender


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
