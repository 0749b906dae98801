"""The service without adaptive batching, for `benchmarks.batching`: every call of the model is a run of its own.

`bentoml serve benchmarks.unbatched:GenreClassifier`
"""

from serving.service import GenreClassifier, GenreModel

__all__ = ["GenreClassifier"]

GenreModel.apis["run"].batchable = False  # type: ignore[attr-defined]
