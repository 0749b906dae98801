"""How the processes of one `bentoml serve` live and die together.

BentoML's arbiter starts the workers of both services, looks every ten seconds whether they live, and ends all at once.
"""

import ctypes
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
from bentoml._internal.utils.circus import Arbiter as BentoArbiter
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.sighandler import SysHandler
from circus.watcher import Watcher

LOOK_EVERY = 1.0  # seconds
IDLE = 75  # seconds; longer than the pools of common clients keep a connection that they do not use
TICK = 0.1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE, KEPT = 32 * 2**20, 128 * 2**20  # bytes; what is larger has a mapping of its own, which goes when it is freed
WORKER = "_bentoml_impl.worker.service"  # what BentoML runs in each


def keep_alive() -> None:
    """Make the arbiter of this process look after its workers every second, in a container too.

    BentoML fixes ten seconds, and does not start a worker again inside its containers, where the loss of the model's
    one worker would end the service. It has no settings for either.
    """
    _override(Arbiter, check_delay=LOOK_EVERY)
    _override(Watcher, respawn=True)
    manage = Arbiter.manage_watchers

    def manage_unless_busy(arbiter: Arbiter) -> Any:
        # While it stops them, which takes longer than it takes to look again.
        with suppress(ConflictError):
            return manage(arbiter)

    Arbiter.manage_watchers = manage_unless_busy
    # Told to stop, BentoML's own arbiter would first remove the sockets by which the front asks the model.
    start = BentoArbiter.start

    def start_and_clean_up(arbiter: Any, cb: Any = None) -> None:
        try:
            start(arbiter, cb)
        finally:
            arbiter.exit_stack.close()

    BentoArbiter.start = start_and_clean_up  # type: ignore[method-assign, assignment]
    BentoArbiter.stop = Arbiter.stop  # type: ignore[method-assign]
    # A reload on SIGHUP, the arbiter's own idea, would load nothing new, and wait for workers that wait for each other.
    SysHandler.handle_hup = lambda _: None


def keep_connections() -> None:
    """Let the server that this worker is about to start keep idle connections for longer than its clients do.

    After five seconds, as BentoML has it, a client that takes a connection up again finds now and then that it is just
    being closed, and its request is lost.
    """
    _override(uvicorn.Config, timeout_keep_alive=IDLE)


def keep_memory() -> None:
    """Let this process keep memory that was freed for the next request.

    By default glibc gives back what large arrays were in, and each page must be mapped and cleared anew: 2 of the 60 ms
    of a clip of 30 seconds.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):  # which not every libc has
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)


def _override(kind: type, **values: Any) -> None:
    """Let a class be made with these arguments, whatever others its maker names."""
    make = kind.__init__  # type: ignore[misc]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        make(self, *args, **{**kwargs, **values})

    kind.__init__ = __init__  # type: ignore[misc]


def on_stop(act: Callable[[], object]) -> None:
    """Do something when this worker is told to stop, before it does; `act` runs in a thread, and may take its time."""
    for number in (signal.SIGTERM, signal.SIGINT):
        _act_first(number, signal.getsignal(number), act)


def _act_first(number: signal.Signals, stop: Any, act: Callable[[], object]) -> None:
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


def wait_for_others(seconds: float) -> None:
    """Wait until this is the last worker of its arbiter: the others may still have to ask it something.

    Args:
        seconds: at most; if it is the only one that is told to stop, the others live on.
    """
    this = psutil.Process()
    arbiter = this.parent()
    end = monotonic() + seconds
    while arbiter and monotonic() < end and any(_works(child) for child in _children(arbiter) if child != this):
        sleep(TICK)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children())
    except psutil.Error:
        return []


def _works(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and WORKER in process.cmdline()
    except psutil.Error:
        return False
