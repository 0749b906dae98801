"""A plain web server, as `python -m http.server` is one, which remembers what it gave."""

import threading
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class WebServer:
    """Gives the files of a folder on a port of its own, with more headers if there are, until it is closed.

    Without an index, as object storage is, it gives nothing for the address of a folder.
    """

    def __init__(self, folder: Path, headers: Mapping[str, str] | None = None, *, index: bool = True) -> None:
        self.given: list[tuple[str, int]] = []
        """Path and status of each answer."""
        handler = partial(_Handler, self.given, headers or {}, index, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Nobody is there any more."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(
        self, given: list[tuple[str, int]], more: Mapping[str, str], index: bool, *arguments: Any, **options: Any
    ) -> None:
        self.given, self.more, self.index = given, more, index
        super().__init__(*arguments, **options)

    def end_headers(self) -> None:
        for name, value in self.more.items():
            self.send_header(name, value)
        super().end_headers()

    def send_head(self) -> Any:
        if self.index or not self.path.endswith("/"):
            return super().send_head()
        self.send_error(404)
        return None

    def log_request(self, code: int | str = "-", _: int | str = "-") -> None:
        self.given.append((self.path, int(code)))

    def log_message(self, *_: object) -> None:
        """Write nothing."""
