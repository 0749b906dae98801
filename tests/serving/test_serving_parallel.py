"""Work in order, in parallel, and never far ahead."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from serving.parallel import in_order


def test_results_keep_the_order_and_what_is_held_is_bounded():
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(3) as pool:
        for done, future in enumerate(in_order(pool, str, items(), ahead=4)):
            assert future.result() == str(done)
            assert len(taken) <= done + 4
    assert done == 49


def test_several_are_under_way_at_a_time():
    meeting = Barrier(3, timeout=10)  # broken, unless three wait at it together
    with ThreadPoolExecutor(3) as pool:
        futures = list(in_order(pool, lambda _: meeting.wait() >= 0, range(9), ahead=3))
    assert all(future.result() for future in futures)
    assert len(futures) == 9


def test_one_that_fails_fails_alone():
    with ThreadPoolExecutor(2) as pool:
        futures = list(in_order(pool, lambda number: 1 / number, [1, 0, 2], ahead=2))
    assert [future.exception() is None for future in futures] == [True, False, True]
    with pytest.raises(ZeroDivisionError):
        futures[1].result()
