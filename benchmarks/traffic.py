"""Requests by Locust: a number of clients that send one file over and over."""

import json
import math
import os
import subprocess
import sys
import tempfile
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support.client import Outcome, figures
from tests.support.songs import Song

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
STOP_TIMEOUT_SECONDS = 600  # for the requests that are not answered yet when the time is up


def multipart(song: Song) -> tuple[bytes, str]:
    """A form with the file in its field `audio`, and the content type of the form."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="audio"; filename="{song.name}"\r\n\r\n'
    return (
        head.encode() + song.content + f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
    )


def send(url: str, song: Song, *, clients: int, seconds: float) -> list[Outcome]:
    """Let clients send a song over and over for some seconds, each at least once.

    Raises:
        RuntimeError: Locust failed; the message is its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        content, times = Path(folder) / "body", Path(folder) / "times"
        body, content_type = multipart(song)
        content.write_bytes(body)
        command = [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--host", url),
            *("--users", str(clients), "--spawn-rate", str(clients), "--run-time", f"{seconds:.0f}s"),
            *("--stop-timeout", str(STOP_TIMEOUT_SECONDS), "--loglevel", "ERROR", "--exit-code-on-error", "0"),
        ]
        variables = {"GENRE_BODY": str(content), "GENRE_BODY_TYPE": content_type, "GENRE_TIMES": str(times)}
        ended = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        if ended.returncode or not times.exists():
            raise RuntimeError(ended.stderr + ended.stdout)
        lines = times.read_text(encoding="utf-8").splitlines()
    return [Outcome(**json.loads(line)) for line in lines]


def measure(url: str, song: Song, *, clients: int, seconds: float) -> dict[str, Any]:
    """Figures of `send`, and answers a second, counted from the first request to the last answer."""
    outcomes = send(url, song, clients=clients, seconds=seconds)
    answered = [outcome for outcome in outcomes if outcome.status == HTTPStatus.OK]
    taken = max((each.end for each in answered), default=math.inf) - min(each.begin for each in outcomes)
    measured = {**figures(outcomes), "a_second": round(len(answered) / taken, 2)}
    del measured["largest_difference"]  # Locust does not compare answers
    return measured
