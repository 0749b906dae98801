"""Any audio format -> a mono waveform at 22 050 Hz -> 3-second chunks."""

from genre_classifier.audio.chunks import (
    CHUNK_SAMPLES,
    CHUNK_SECONDS,
    MIN_TAIL_SAMPLES,
    SAMPLE_RATE,
    SILENT_BELOW,
    chunk_starts,
    cut_chunks,
    is_audible,
    iter_chunks,
)
from genre_classifier.audio.decode import Audio, Source, Stream, declared_seconds, decode
from genre_classifier.audio.errors import AudioError

__all__ = [
    "CHUNK_SAMPLES",
    "CHUNK_SECONDS",
    "MIN_TAIL_SAMPLES",
    "SAMPLE_RATE",
    "SILENT_BELOW",
    "Audio",
    "AudioError",
    "Source",
    "Stream",
    "chunk_starts",
    "cut_chunks",
    "declared_seconds",
    "decode",
    "is_audible",
    "iter_chunks",
]
