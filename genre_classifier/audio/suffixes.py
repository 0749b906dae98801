"""The file names that a folder is searched for; a file that is named itself is decoded whatever its name says."""

AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "aif", "aifc", "aiff", "amr", "ape", "asf", "au", "caf", "flac", "m4a", "m4b", "mka", "mkv", "mov"),
        *("mp2", "mp3", "mp4", "mpga", "oga", "ogg", "ogv", "opus", "snd", "wav", "wave", "weba", "webm", "wma", "wv"),
    )
)
