"""One line of JSON for each request: what was asked, how it ended, and where its time went; never a file's name."""

import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from time import perf_counter

CLOSED_BY_CLIENT = 499  # as nginx has it: nobody was there to be answered


@dataclass
class Record:
    """A request, as the log tells it; times of several files are added up, whether or not they passed together."""

    method: str
    path: str
    status: int = CLOSED_BY_CLIENT
    bytes: int = 0
    """Of the body, as received."""
    files: int = 0
    audio_seconds: float = 0.0
    """Decoded."""
    chunks: int = 0
    """Judged: the audible ones."""
    receive_ms: float = 0.0
    queue_ms: float = 0.0
    """Neither decoded nor judged: waiting for a turn, for the model, and on the way there and back."""
    decode_ms: float = 0.0
    session_ms: float = 0.0
    """Of the session runs that its chunks were in, together with those of others."""
    total_ms: float = 0.0
    _begin: float = field(default_factory=perf_counter, repr=False)

    def line(self) -> str:
        """The record as JSON, in milliseconds from its making to now."""
        self.total_ms = (perf_counter() - self._begin) * 1000
        fields = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        return json.dumps(
            {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}
        )


def make_logger() -> logging.Logger:
    """A logger whose lines are what is logged and nothing else; it speaks for the parser of bodies as well."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logger = logging.getLogger("genre.requests")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger
