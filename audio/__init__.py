"""Decode any audio to mono 22 050 Hz and cut it into 3-second chunks."""

from audio.chunks import (
    CHUNK_SAMPLES,
    CHUNK_SECONDS,
    MIN_TAIL_SAMPLES,
    SAMPLE_RATE,
    SILENT_BELOW,
    chunk_starts,
    cut_chunks,
)
from audio.decode import Audio, Stream, declared_seconds, decode
from audio.errors import AudioError

__all__ = [
    "CHUNK_SAMPLES",
    "CHUNK_SECONDS",
    "MIN_TAIL_SAMPLES",
    "SAMPLE_RATE",
    "SILENT_BELOW",
    "Audio",
    "AudioError",
    "Stream",
    "chunk_starts",
    "cut_chunks",
    "declared_seconds",
    "decode",
]
