"""Outputs survive being packed, joined and cut."""

import numpy as np
import pytest

from genre_classifier.outputs import Outputs


def outputs(rows, *, tags, familiarity):
    rng = np.random.default_rng(rows)
    return Outputs(
        rng.standard_normal((rows, 3), np.float32),
        rng.standard_normal((rows, 5), np.float32),
        rng.standard_normal((rows, 4), np.float32) if tags else None,
        rng.standard_normal(rows, np.float32) if familiarity else None,
    )


def assert_same(one, other):
    for name in Outputs._fields:
        given, expected = getattr(one, name), getattr(other, name)
        if expected is None:
            assert given is None
        else:
            np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("familiarity", [False, True])
def test_packed_and_unpacked_they_are_the_same(tags, familiarity):
    made = outputs(6, tags=tags, familiarity=familiarity)
    packed = made.pack()
    assert packed.shape == (6, 8 + 4 * tags + familiarity)
    assert packed.dtype == np.float32
    assert_same(Outputs.unpack(packed, labels=3, tags=4 * tags, familiarity=familiarity), made)


@pytest.mark.parametrize("tags", [False, True])
def test_cut_and_joined_they_are_the_same(tags):
    made = outputs(6, tags=tags, familiarity=tags)
    assert_same(Outputs.join([made.rows(0, 1), made.rows(1, 4), made.rows(4, 6)]), made)
