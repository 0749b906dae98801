"""Some seconds of the fuzz target, a minute where GENRE_FUZZ_SECONDS says so; files that are new each day."""

import datetime as dt
import os

import pytest

from genre_classifier.audio.decoder_pool import SUPPORTED
from tests.fuzz import fuzz

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="no descriptors can be handed to other processes here")


def test_broken_files_are_clips_or_sentences(tmp_path):
    today = dt.datetime.now(dt.UTC).date().toordinal()
    seconds = float(os.environ.get("GENRE_FUZZ_SECONDS", "5"))
    outcomes = fuzz(seconds, today, tmp_path)
    assert {"undecodable", "whole"} <= set(outcomes)
    assert set(outcomes) <= {"undecodable", "too_short", "too_long", "silent", "too_costly", "whole", "cut short"}
