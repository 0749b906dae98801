"""What goes wrong with a request or a file, as who asked is told."""

RETRY_AFTER = {"Retry-After": "1"}


class RequestError(Exception):
    """A request that is answered with an error's status and sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        """Say what to do about it in one sentence."""
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}


class TagError(Exception):
    """A file that keeps the tags it has; the message is one sentence."""
