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
from genre_classifier.audio.decode import Audio, Stream, decode
from genre_classifier.audio.errors import AudioError
from genre_classifier.audio.source import Source

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
    "decode",
    "is_audible",
    "iter_chunks",
]
