"""The exception for audio that cannot be classified."""

from typing import Literal

Kind = Literal["missing", "undecodable", "too_short", "too_long", "too_costly", "silent"]


class AudioError(ValueError):
    """Audio that cannot be classified; the message is one sentence for a person.

    `kind` is one of:
        missing: there is no readable file by that name.
        undecodable: the content is not audio, or a waveform has an impossible shape, rate or value.
        too_short: shorter than one chunk of 3 seconds.
        too_long: longer than the caller's limit.
        too_costly: decoding takes more time or memory than its music justifies.
        silent: no chunk's peak reaches -60 dBFS.
    """

    def __init__(self, message: str, kind: Kind) -> None:
        super().__init__(message)
        self.kind: Kind = kind

    def __reduce__(self) -> tuple[type["AudioError"], tuple[str, Kind]]:
        """Pickle with the kind, so that the error survives a process pool."""
        return type(self), (str(self), self.kind)
