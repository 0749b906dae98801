"""Files of a part share the largest batches."""

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
    # A small one is run where all files that were taken are done before the next come: most chunks share full ones.
    assert sum(size for size in run_sizes if size == 64) > counts.chunks / 2
