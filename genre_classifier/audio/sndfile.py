"""WAV, AU, AIFF, FLAC, Ogg Vorbis and Opus, MP3 and whatever else libsndfile reads."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from genre_classifier.audio import ffmpeg, mp3
from genre_classifier.audio.errors import AudioError
from genre_classifier.audio.track import BREAK_SECONDS, BreaksOffError, Track, mono

BLOCK_SAMPLES = 2**19  # samples of all channels decoded at a time: 2 MB of float32
UNKNOWN_FRAMES = 2**62  # libsndfile gives 2**63 - 1 frames where a header does not tell
OGG_PAGE_BYTES = 65_307  # the longest an Ogg page can be
OGG_LAST_PAGE = 4  # the bit of an Ogg page's header that marks a stream's last page
PLACEHOLDER_BYTES = 2**31 - 2**16  # programs that write to a pipe declare this much data, or more, as "unknown"

# libsndfile corrects a length that the file does not hold, and tells only its log: "data : 1764000 (should be 881978)".
# "data" is WAV's, "SSND" AIFF's, "Data Size" AU's, "Riff size" RF64's and "riff" W64's; WAV's "RIFF" is often wrong.
CORRECTED_LENGTH = re.compile(r"^ *(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)

CONSTANT_BITRATE = re.compile(r"bitrate mode +: constant")  # as libsndfile believes where nothing says otherwise


@contextmanager
def open_track(file: Any) -> Iterator[Track]:
    """Open an audio file (a binary file object). Raises AudioError where libsndfile does not read its format."""
    try:
        sound = sf.SoundFile(file)
    except sf.LibsndfileError:
        raise AudioError("This is not an audio file that can be read.", "undecodable") from None
    with sound:
        if not 0 <= sound.frames < UNKNOWN_FRAMES:
            # A FLAC that was written to a pipe: libsndfile fails at its end, and the last block is lost.
            raise AudioError("The file does not tell how long it is.", "undecodable")
        if sound.subtype == "OPUS":
            position = file.tell()
            if ffmpeg.has_overlapping_packets(file):  # as FFmpeg writes them from other formats; libsndfile gives up
                raise AudioError("The file's Opus can only be read by FFmpeg.", "undecodable")
            file.seek(position)
        if sound.format == "MP3" and CONSTANT_BITRATE.search(sound.extra_info):
            position = file.tell()
            if mp3.has_varying_bitrate(file):
                raise AudioError("The MP3 does not tell how long it is.", "undecodable")
            file.seek(position)
        yield Track(sound.samplerate, sound.frames / max(1, sound.samplerate), _blocks(sound, file))


def _blocks(sound: sf.SoundFile, file: Any) -> Iterator[NDArray[np.float32]]:
    """Decode block by block; read in one piece, the same samples come out."""
    block = np.empty((max(1, BLOCK_SAMPLES // sound.channels), sound.channels), dtype=np.float32)
    total = 0
    try:
        while frames := len(sound.read(out=block)):
            total += frames
            yield mono(block[:frames])
    except sf.LibsndfileError:
        # What came before the error lies in the block, but only the file's own position says how much that is.
        yield mono(block[: _frames_since(sound, total)])
        raise BreaksOffError from None
    missing = (sound.frames - total) / sound.samplerate
    if missing > BREAK_SECONDS or _is_cut_short(sound) or (sound.format == "OGG" and _lacks_last_page(file)):
        raise BreaksOffError


def _frames_since(sound: sf.SoundFile, position: int) -> int:
    """Frames read since `position`; 0 where the decoder has lost it."""
    try:
        return max(0, int(sound.tell()) - position)
    except sf.LibsndfileError:
        return 0


def _is_cut_short(sound: sf.SoundFile) -> bool:
    """Whether the header of a WAV, AU or AIFF declares clearly more audio than the file holds."""
    lengths = CORRECTED_LENGTH.search(sound.extra_info)
    if lengths is None:
        return False
    declared, found = map(int, lengths.groups())
    if not found < declared < PLACEHOLDER_BYTES:
        return False
    return found == 0 or sound.frames / sound.samplerate * (declared / found - 1) > BREAK_SECONDS


def _lacks_last_page(file: Any) -> bool:
    """Whether an Ogg file ends on a page that is not marked as a stream's last."""
    end = file.seek(0, 2)
    file.seek(max(0, end - OGG_PAGE_BYTES))
    tail = file.read(OGG_PAGE_BYTES)
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and not tail[page + 5] & OGG_LAST_PAGE
