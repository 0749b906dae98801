"""One line of JSON for each request: what was asked, how it ended, and what took its time; never a file's name."""

import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from time import perf_counter

from serving.http.errors import CLIENT_CLOSED_REQUEST
from serving.pipeline import Figures


@dataclass
class RequestLog:
    """A request, as the log shows it."""

    method: str
    path: str
    status: int = CLIENT_CLOSED_REQUEST
    bytes: int = 0
    """Of the body, as received."""
    files: int = 0
    receive_ms: float = 0.0
    figures: Figures = field(default_factory=Figures)
    _begin: float = field(default_factory=perf_counter, repr=False)

    @property
    def seconds(self) -> float:
        """Since the request began."""
        return perf_counter() - self._begin

    def line(self) -> str:
        """The request as one line of JSON."""
        fields = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        figures = fields.pop("figures")
        fields = {**fields, **figures, "total_ms": self.seconds * 1000}
        return json.dumps(
            {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}
        )


def make_logger() -> logging.Logger:
    """Make the logger of requests, whose lines are nothing but the JSON, and silence the parser of bodies."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logger = logging.getLogger("genre.requests")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger
