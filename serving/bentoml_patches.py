"""Every touch of what BentoML, circus and uvicorn keep private, each with its reason.

None of these has a public setting in BentoML 1.4. BentoML is pinned exactly, and tests/serving/test_bentoml_patches.py
checks that each target still has the form that is expected here.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from types import FrameType
from typing import Any

import psutil
import uvicorn
from bentoml._internal.marshal.dispatcher import Optimizer
from bentoml._internal.utils.circus import Arbiter as BentoArbiter
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.sighandler import SysHandler
from circus.watcher import Watcher

CHECK_SECONDS = 1.0  # between two looks at the workers
KEEP_ALIVE_SECONDS = 75  # longer than the pools of common clients keep a connection that they do not use
KEEP_ALIVE_FLAG = "--timeout-keep-alive"
WORKER_MODULE = "_bentoml_impl.worker.service"  # what BentoML runs in each worker
POLL_SECONDS = 0.1


# In the arbiter, the process that starts the workers.


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
