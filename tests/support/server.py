"""A real `bentoml serve` on loopback, for benchmarks and tests; ended by its own process id."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from tests.support import ROOT

MODEL, FRONT = "genre_model", "genre_classifier"
STOP_SECONDS = 90


class Server:
    """A `bentoml serve` process."""

    def __init__(
        self,
        home: Path,
        service: str | None = None,
        *,
        cwd: Path = ROOT,
        arguments: Sequence[str] = (),
        **environment: str,
    ) -> None:
        """Start it on a free port; it is not ready yet.

        Args:
            home: an existing folder for its log and for what BentoML writes.
            service: import path of the service; None for the one that the bentofile in `cwd` names.
            cwd: the folder it starts in.
            arguments: more arguments of `bentoml serve`.
            environment: more environment variables.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "server.log"
        variables = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "GENRE_PROVIDER": "cpu", **environment}
        command = [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            *([service] if service else []),
            *arguments,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **variables}, stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, seconds: float = 60) -> float:
        """Wait until /readyz answers 200; return the seconds that took.

        Raises:
            RuntimeError: the server has ended, or takes longer; the message is its log.
        """
        begin = time.monotonic()
        while time.monotonic() < begin + seconds and self.process.poll() is None:
            try:
                with urlopen(f"{self.url}/readyz", timeout=5):
                    return time.monotonic() - begin
            except (URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError(self.log.read_text())

    def stop(self) -> None:
        """Terminate it, as an operator would, and wait until it has ended."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def workers(self, service: str) -> list[psutil.Process]:
        """The living processes of MODEL or FRONT."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if service in _arguments(child)]

    def memory(self) -> int:
        """Bytes of memory that only its workers hold (USS)."""
        return sum(worker.memory_full_info().uss for name in (MODEL, FRONT) for worker in self.workers(name))


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
