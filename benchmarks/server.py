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

ROOT = Path(__file__).resolve().parents[1]
MODEL, FRONT = "genre_model", "genre_classifier"
STOP_SECONDS = 90


class Server:
    """A server under way."""

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
            service: by its import path; the one that the bentofile in `cwd` names if None.
            cwd: where it starts.
            arguments: more of `bentoml serve`'s.
            environment: more variables of its.
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
        """Wait until /readyz says yes, and give the seconds that took.

        Raises:
            RuntimeError: it has ended, or takes longer; with its log.
        """
        begin = time.monotonic()
        while time.monotonic() < begin + seconds and self.process.poll() is None:
            try:
                with urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 (on loopback)
                    return time.monotonic() - begin
            except (URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError(self.log.read_text())

    def stop(self) -> None:
        """End it as an operator would, and wait until it has ended."""
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
        """Bytes that its workers hold of their own."""
        return sum(worker.memory_full_info().uss for name in (MODEL, FRONT) for worker in self.workers(name))


class Baseline:
    """The librosa way's server, under way."""

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


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
