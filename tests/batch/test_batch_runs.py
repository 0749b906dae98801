"""Files of a part share the largest batches."""

import numpy as np

from batch.sources import cut_part, list_files
from batch.worker import Worker, WorkerOptions
from genre_classifier.settings import Settings
from tests.support.parquet import FILES


def test_batches_are_filled_across_files(music, stand_in, tmp_path, run_sizes):
    settings = Settings(model=str(stand_in), provider="cpu", max_batch_size=64)
    worker = Worker(WorkerOptions(str(tmp_path), settings, file_seconds=60, file_megabytes=64))
    counts = worker.work(cut_part(list_files(str(music)), 0, FILES))
    worker.classifier.close()
    assert counts.chunks == sum(run_sizes) == FILES - 2  # of 3 seconds each
    assert np.mean(run_sizes) > 32  # the last of those that were taken at a time may be few
    assert np.median(run_sizes) == 64
