"""What the service may say instead of an answer; serving/http chooses the status."""

from typing import Literal

Kind = Literal["busy", "late", "restarting", "stopping", "slow_upload", "full"]


class ServiceError(Exception):
    """A request that the service does not answer; the message is one sentence for the client.

    `kind` is one of:
        busy: too much is in hand.
        late: the answer was not there in time.
        restarting: the model's process is being replaced.
        stopping: the service is being stopped.
        slow_upload: the client took too long to send.
        full: the disk has no room for what was sent.
    """

    def __init__(self, message: str, kind: Kind, retry_after: int = 1) -> None:
        """`retry_after` is in seconds."""
        super().__init__(message)
        self.kind: Kind = kind
        self.retry_after = retry_after
