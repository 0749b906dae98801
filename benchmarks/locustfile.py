"""What Locust runs for `benchmarks.traffic`: clients that send one file over and over, each as soon as it is answered.

Environment: GENRE_BODY, a file that holds the request's body; GENRE_BODY_TYPE, its content type; GENRE_TIMES, the file
to write, one line of JSON a request.
"""

import json
import os
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task

BODY = Path(os.environ["GENRE_BODY"]).read_bytes()
HEADERS = {"Content-Type": os.environ["GENRE_BODY_TYPE"]}
TIMES = Path(os.environ["GENRE_TIMES"])
CLIENT_TIMEOUT_SECONDS = 600.0

requests: list[dict[str, Any]] = []


class Listener(FastHttpUser):
    """Sends the file over and over."""

    wait_time = constant(0)
    connection_timeout = network_timeout = CLIENT_TIMEOUT_SECONDS

    @task
    def classify(self) -> None:
        """Send it once."""
        self.client.post("/classify", data=BODY, headers=HEADERS)  # type: ignore[arg-type]


@events.request.add_listener  # type: ignore[untyped-decorator]
def record(start_time: float, response_time: float, response: Any, **_: Any) -> None:
    """Record what Locust would round."""
    requests.append({"begin": start_time, "seconds": response_time / 1000, "status": response.status_code})


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def write(**_: Any) -> None:
    """Write all requests at the end."""
    TIMES.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
