"""Every touch of what BentoML, circus and uvicorn keep private, each with its reason.

None of these has a public setting in BentoML 1.4. BentoML is pinned exactly, and tests/serving/test_bentoml_patches.py
checks that each target still has the form that is expected here. What BentoML does before it imports a service is met
in genre_classifier/bentoml_home.py, by a public entry point.
"""

import errno
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from types import FrameType
from typing import Any

import _bentoml_impl.server
import psutil
import uvicorn
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.marshal.dispatcher import Optimizer
from bentoml._internal.utils.circus import Arbiter as BentoArbiter
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.sighandler import SysHandler
from circus.watcher import Watcher
from tornado.ioloop import IOLoop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CHECK_SECONDS = 1.0  # between two looks at the workers
KEEP_ALIVE_SECONDS = 75  # longer than the pools of common clients keep a connection that they do not use
KEEP_ALIVE_FLAG = "--timeout-keep-alive"
WORKER_MODULE = "_bentoml_impl.worker.service"  # what BentoML runs in each worker
POLL_SECONDS = 0.1
PARENT_SECONDS = 0.5  # between two looks at whether the arbiter lives
ARBITER = "GENRE_ARBITER"  # the variable by which the workers know its process id
# BentoML's sockets in the folder of temporary files, and the longest path that it takes for one.
SOCKET = "/bentoml-uds-12345678/140000000000000.sock"
LONGEST_SOCKET = 102


# In the arbiter, the process that starts the workers.


def serve_in(make_folder: Callable[[], AbstractContextManager[Path]]) -> None:
    """Make `bentoml serve` keep its sockets and its metrics in a folder that `make_folder` gives it.

    BentoML takes commands on a TCP port of loopback, from any user of the machine, and keeps the metrics of all
    services of one home in one folder, which each of them empties when it starts. Where it cannot start, it shows a
    traceback.
    """
    serve = _bentoml_impl.server.serve_http

    def serve_http(*args: Any, **kwargs: Any) -> Any:
        try:
            _check_address(**kwargs)
            with make_folder() as folder:
                if len(str(folder) + SOCKET) > LONGEST_SOCKET:
                    raise SystemExit(
                        f"The folder for temporary files has too long a name for a socket: {folder.parent}."
                    )
                BentoMLContainer.prometheus_multiproc_dir.set(str(folder / "metrics"))
                tempfile.tempdir = os.environ["TMPDIR"] = str(folder)  # BentoML leaves folders there in each process
                _override_arguments(
                    Arbiter, endpoint=f"ipc://{folder}/control", pubsub_endpoint=f"ipc://{folder}/events"
                )
                os.environ[ARBITER] = str(os.getpid())
                return serve(*args, **kwargs)
        except OSError as error:
            raise SystemExit(_why_not(error, **kwargs)) from None

    _bentoml_impl.server.serve_http = serve_http


def _check_address(*, host: str | None = None, port: int | None = None, **_: Any) -> None:
    """Raise the OSError that listening there would; the arbiter would also log it, twice."""
    if port and not 0 <= port < 2**16:
        raise SystemExit(f"There is no port {port}: choose one up to 65535 with --port.")
    if host and port:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # as the arbiter listens
        socket.create_server((host, port), family=family, dualstack_ipv6=both).close()


def _why_not(error: OSError, *, host: str = "", port: int = 0, **_: Any) -> str:
    """Say in a sentence why the service cannot start."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken: end what listens there, or choose another with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine has no address {host}: choose another with --host."
    return f"The service cannot start: {': '.join(filter(None, (error.filename, error.strerror or str(error))))}."


def respawn_workers() -> None:
    """Make the arbiter replace dead workers within a second, in containers too.

    BentoML fixes a check every ten seconds, and does not restart a worker inside its containers, where the loss of the
    model's one worker would end the service.
    """
    _override_arguments(Arbiter, check_delay=CHECK_SECONDS)
    _override_arguments(Watcher, respawn=True)
    manage = Arbiter.manage_watchers

    def manage_unless_busy(arbiter: Arbiter) -> Any:
        # Stopping takes longer than a check interval, and the check then fails:
        # https://github.com/bentoml/BentoML/issues/3813
        with suppress(ConflictError):
            return manage(arbiter)

    Arbiter.manage_watchers = manage_unless_busy


def keep_sockets_until_stopped() -> None:
    """Make the arbiter remove the sockets between its services after the workers have ended.

    BentoML's arbiter removes them first, and the front can then no longer reach the model for what it still has to
    answer.
    """
    start = BentoArbiter.start

    def start_and_clean_up(arbiter: Any, cb: Any = None) -> None:
        try:
            start(arbiter, cb)
        finally:
            arbiter.exit_stack.close()

    BentoArbiter.start = start_and_clean_up  # type: ignore[method-assign, assignment]
    BentoArbiter.stop = Arbiter.stop  # type: ignore[method-assign]


def use_monotonic_time() -> None:
    """Make the arbiter look at its workers every second, whatever is done to the clock.

    Tornado plans by the time of day: set back by a minute, the clock stops all looks for as long.
    """
    IOLoop.time = lambda _: monotonic()  # type: ignore[method-assign, assignment]


def ignore_hangup() -> None:
    """Make the arbiter ignore SIGHUP.

    circus would reload: nothing new would be loaded, and workers would wait for each other.
    """
    SysHandler.handle_hup = lambda _: None


# In the workers.


def disable_batch_delay() -> None:
    """Make the dispatcher run a call at once when the session is free.

    From recent calls it predicts how long to delay one in case others come (up to a second after heavy load), and which
    to drop as too late. While the session runs, enough calls gather for the next run, and admission bounds the wait.
    A setting was proposed and not merged: https://github.com/bentoml/BentoML/pull/3630
    """
    for name in ("wait", "o_a", "o_b"):
        setattr(Optimizer, name, property(lambda _: 0.0, lambda *_: None))


def extend_keep_alive() -> None:
    """Make this worker's HTTP server keep idle connections for 75 seconds, unless the operator sets a time.

    After BentoML's default of five seconds, a client that reuses a connection sometimes finds it just being closed, and
    its request fails.
    """
    if not any(argument.startswith(KEEP_ALIVE_FLAG) for argument in sys.argv):
        _override_arguments(uvicorn.Config, timeout_keep_alive=KEEP_ALIVE_SECONDS)


def end_with_arbiter() -> None:
    """Make this worker end within a second of the arbiter, which has no time to tell it when it is killed.

    A worker that goes on alone holds the port, and the next service cannot start.
    """
    arbiter = os.environ.get(ARBITER)
    if arbiter is None:
        return

    def watch() -> None:
        while os.getppid() == int(arbiter):
            sleep(PARENT_SECONDS)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def limit_connections(limit: Callable[[type], type]) -> None:
    """Make this worker's HTTP server limit its connections, as `limit` does to the kind that it is given.

    By the parser that is written in C: the one in Python takes 14 us for a chunk of a body, which may be one byte.
    """
    _override_arguments(uvicorn.Config, http=limit(HttpToolsProtocol))


def before_stop(act: Callable[[], object]) -> None:
    """Do something when this worker is told to stop, before it stops; `act` runs in a thread and may take its time.

    BentoML's shutdown hooks run when the server has stopped already.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        _call_first(number, signal.getsignal(number), act)


def _call_first(number: signal.Signals, stop: Any, act: Callable[[], object]) -> None:
    acting = False

    def handle(_: int, frame: FrameType | None) -> None:
        nonlocal acting
        if acting:
            return
        acting = True

        def run() -> None:
            act()
            if callable(stop):
                stop(number, frame)

        Thread(target=run, daemon=True).start()

    signal.signal(number, handle)


def wait_for_siblings(seconds: float) -> None:
    """Wait until this is the arbiter's last worker: the others may still need it to answer.

    BentoML ends all workers at once and tells none about the others.

    Args:
        seconds: the longest to wait; if this worker alone was told to stop, the others live on.
    """
    this = psutil.Process()
    arbiter = this.parent()
    end = monotonic() + seconds
    while arbiter and monotonic() < end and any(_is_worker(child) for child in _children(arbiter) if child != this):
        sleep(POLL_SECONDS)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children())
    except psutil.Error:
        return []


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and WORKER_MODULE in process.cmdline()
    except psutil.Error:
        return False


def _override_arguments(kind: type, **values: Any) -> None:
    """Make a class ignore what its callers pass for these arguments."""
    make = kind.__init__  # type: ignore[misc]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        make(self, *args, **{**kwargs, **values})

    kind.__init__ = __init__  # type: ignore[misc]
