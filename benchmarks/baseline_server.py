"""The librosa server as a process on loopback, which the service is timed against."""

import subprocess
import sys
import time
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from tests.support import ROOT
from tests.support.server import STOP_SECONDS, free_port


class BaselineServer:
    """A `python -m benchmarks.baseline` process."""

    def __init__(self) -> None:
        """Start it on a free port; it is not ready yet."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.baseline", str(port)], cwd=ROOT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(STOP_SECONDS)

    def wait(self, seconds: float = 120) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it has ended, or takes longer.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urlopen(self.url, timeout=5):  # noqa: S310 (on loopback)
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError("The librosa server does not answer.")
