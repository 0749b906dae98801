"""Each private part that serving/bentoml_patches.py touches still has the form that it expects."""

import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import uvicorn
from _bentoml_impl.server import serving as bentoml_serving
from _bentoml_impl.worker import service as worker
from _bentoml_sdk import Service
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.marshal.dispatcher import CorkDispatcher, Optimizer
from bentoml._internal.utils import circus as bentoml_circus
from bentoml.serving import ensure_prometheus_dir
from bentoml_cli import serve as bentoml_cli
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.sighandler import SysHandler
from circus.watcher import Watcher
from packaging.requirements import Requirement
from simple_di import Provide
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving import bentoml_patches
from serving.http.connections import LimitedConnection
from tests.support import ROOT


def parameters(function):
    return inspect.signature(function).parameters


def test_bentoml_is_pinned_to_the_version_that_is_tested():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (pinned,) = [Requirement(each) for each in extras["serve"] if each.startswith("bentoml")]
    assert str(pinned.specifier) == f"=={version('bentoml')}", "the patches are tested with another BentoML than pinned"


def test_the_arbiter_takes_its_check_interval_and_bentoml_fixes_it():
    assert "check_delay" in parameters(Arbiter.__init__), "circus.Arbiter has no check_delay: see respawn_workers"
    source = inspect.getsource(bentoml_circus.create_standalone_arbiter)
    assert "check_delay" in source, "BentoML no longer fixes check_delay: respawn_workers may be needless"


def test_watchers_can_be_told_to_respawn():
    assert "respawn" in parameters(Watcher.__init__), "circus.Watcher has no respawn: see respawn_workers"


def test_a_check_while_stopping_still_conflicts():
    assert issubclass(ConflictError, Exception)
    assert list(parameters(Arbiter.manage_watchers)) == ["self"], "Arbiter.manage_watchers changed: see respawn_workers"


def test_the_arbiter_cleans_up_by_its_exit_stack():
    arbiter = bentoml_circus.Arbiter
    assert issubclass(arbiter, Arbiter)
    assert list(parameters(arbiter.start)) == ["self", "cb"], "Arbiter.start changed: see keep_sockets_until_stopped"
    for method in (arbiter.__init__, arbiter.stop):
        assert "exit_stack" in inspect.getsource(method), "Arbiter.exit_stack changed: see keep_sockets_until_stopped"
    assert "exit_stack.callback(shutil.rmtree" in inspect.getsource(bentoml_serving.serve_http), (
        "BentoML removes its sockets elsewhere: see keep_sockets_until_stopped"
    )


def test_the_command_line_serves_by_a_function_that_it_looks_up_when_it_is_needed():
    source = inspect.getsource(bentoml_cli)
    assert "        from _bentoml_impl.server import serve_http\n" in source, "bentoml serve changed: see serve_in"
    assert source.index("svc = load(") < source.index("from _bentoml_impl.server import serve_http"), "see serve_in"
    names = parameters(bentoml_serving.serve_http)
    assert {"host", "port"} <= set(names), "serve_http takes other arguments: see serve_in"


def test_the_arbiter_s_sockets_are_arguments_and_bentoml_s_are_temporary_files():
    assert {"endpoint", "pubsub_endpoint"} <= set(parameters(Arbiter.__init__)), "circus.Arbiter changed: see serve_in"
    source = inspect.getsource(bentoml_serving)
    assert 'tempfile.mkdtemp(prefix="bentoml-uds-")' in source, "BentoML's sockets lie elsewhere: see serve_in"
    assert 'f"{id(service)}.sock"' in source, "BentoML's sockets are called otherwise: see serve_in"
    assert bentoml_serving.MAX_AF_UNIX_PATH_LENGTH > bentoml_patches.LONGEST_SOCKET, "see serve_in"
    assert 'env = {"PROMETHEUS_MULTIPROC_DIR": ensure_prometheus_dir()}' in source, (
        "metrics lie elsewhere: see serve_in"
    )
    (folder,) = [each for each in parameters(ensure_prometheus_dir).values() if each.name == "directory"]
    assert folder.default is Provide[BentoMLContainer.prometheus_multiproc_dir], "metrics lie elsewhere: see serve_in"


CLOCK = """
import time
from tornado.ioloop import IOLoop, PeriodicCallback
from serving.bentoml_patches import use_monotonic_time
{patch}
real, back, calls = time.time, 0, []
time.time = lambda: real() - back
def call():
    global back
    calls.append(1)
    back = 45
    if len(calls) == 3:
        IOLoop.current().stop()
PeriodicCallback(call, 20).start()
IOLoop.current().call_later(2, IOLoop.current().stop)
IOLoop.current().start()
print(len(calls))
"""


@pytest.mark.parametrize(("patch", "calls"), [("", 1), ("use_monotonic_time()", 3)])
def test_a_clock_that_is_set_back_does_not_stop_the_looks_at_workers(patch, calls):
    """Without the patch it does; where that is mended, use_monotonic_time can go."""
    command = [sys.executable, "-c", CLOCK.format(patch=patch)]
    assert int(subprocess.check_output(command, cwd=ROOT, text=True)) == calls


def test_a_connection_has_the_callbacks_that_are_limited():
    for name, method in vars(LimitedConnection).items():
        if inspect.isfunction(method) and name != "close" and not name.startswith("_"):
            assert hasattr(HttpToolsProtocol, name), f"uvicorn's protocol has no {name}: see limit_connections"
    source = inspect.getsource(HttpToolsProtocol)
    for name in ("self.connections", "self.pipeline", "self.transport", "self.loop", "self.on_response_complete"):
        assert name in source, f"uvicorn's protocol has no {name}: see limit_connections"
    assert "http" in parameters(uvicorn.Config), "uvicorn.Config changed: see limit_connections"


def test_the_arbiter_still_reloads_on_sighup():
    assert list(parameters(SysHandler.handle_hup)) == ["self"], "SysHandler.handle_hup changed: see ignore_hangup"
    assert "handle_" in inspect.getsource(SysHandler.signal), "circus finds handlers in another way: see ignore_hangup"


def test_the_dispatcher_predicts_by_three_attributes():
    optimizer = Optimizer(max_latency=1.0)
    for name in ("wait", "o_a", "o_b"):
        assert name in vars(optimizer), f"Optimizer.{name} is gone: see disable_batch_delay"
        assert f"optimizer.{name}" in inspect.getsource(CorkDispatcher), f"{name} is not used: see disable_batch_delay"


def test_workers_pass_the_keep_alive_to_uvicorn():
    assert "timeout_keep_alive" in parameters(uvicorn.Config), "uvicorn.Config changed: see extend_keep_alive"
    (option,) = [each for each in worker.main.params if each.name == "timeout_keep_alive"]
    assert option.opts == [bentoml_patches.KEEP_ALIVE_FLAG], "BentoML's flag is called otherwise: see extend_keep_alive"
    assert option.default < bentoml_patches.KEEP_ALIVE_SECONDS, "BentoML's default is long: drop extend_keep_alive"


def test_workers_are_known_by_their_module():
    assert bentoml_serving._SERVICE_WORKER_SCRIPT == bentoml_patches.WORKER_MODULE, (  # noqa: SLF001
        "BentoML's workers run another module: see wait_for_siblings"
    )


def test_a_service_makes_its_application_in_to_asgi():
    assert list(parameters(Service.to_asgi)) == ["self", "is_main"], "Service.to_asgi changed: see serving/service.py"


PROGRAM = """
import sys
import uvicorn
from serving.bentoml_patches import extend_keep_alive
extend_keep_alive()
print(uvicorn.Config(None, timeout_keep_alive=7).timeout_keep_alive)
"""


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [([], 75), (["--timeout-keep-alive", "7"], 7), (["--timeout-keep-alive=7"], 7), (["--timeout", "60"], 75)],
)
def test_the_operators_keep_alive_wins(arguments, seconds):
    command = [sys.executable, "-c", PROGRAM, *arguments]
    assert int(subprocess.check_output(command, cwd=ROOT, text=True)) == seconds


def test_nothing_else_touches_what_is_private():
    private = re.compile(r"^\s*(?:from|import) (?:bentoml\._internal|_bentoml_impl|circus|uvicorn)\b", re.MULTILINE)
    files = [path for path in (ROOT / "serving").rglob("*.py") if path.name != "bentoml_patches.py"]
    assert len(files) > 10
    assert not [path.name for path in files if private.search(path.read_text())]
