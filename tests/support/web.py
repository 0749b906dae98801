"""A plain web server, as `python -m http.server` is one, which remembers what it gave."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class WebServer:
    """Gives the files of a folder on a port of its own, until it is closed."""

    def __init__(self, folder):
        self.given = []
        """Path and status of each answer."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self.given, directory=folder))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Nobody is there any more."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, given, *arguments, **options):
        self.given = given
        super().__init__(*arguments, **options)

    def log_message(self, *words):
        """Remember instead of writing."""
        if len(words) == 4:  # of an answer: a form, the request's line, the status, a size
            self.given.append((self.path, int(words[2])))
