"""The one exception type that leaves this package."""

from typing import Literal

Kind = Literal["undecodable", "too_long", "too_short"]


class AudioError(Exception):
    """Audio that cannot be judged; the message is one sentence for a person, `kind` lets a server pick a status."""

    def __init__(self, message: str, kind: Kind) -> None:
        super().__init__(message)
        self.kind: Kind = kind

    def __reduce__(self) -> tuple[type["AudioError"], tuple[str, Kind]]:
        """Pickle with the kind, so that the error survives a process pool."""
        return type(self), (str(self), self.kind)
