"""The site that classifies in the browser, under /device/, where `make demo` has built it."""

from pathlib import Path

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SITE = Path(__file__).resolve().parents[2] / "build" / "demo"
DEVICE_PATH = "/device/"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; media-src blob:; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
"""What the browser must enforce: nothing comes from, or goes to, another host."""
HEADERS = {
    b"content-security-policy": POLICY.encode() + b"; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-cache",
    # Isolated from other sites, it may have threads.
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-embedder-policy": b"require-corp",
}


def is_built(site: Path = SITE) -> bool:
    """Whether there is a site to offer."""
    return (site / "index.html").is_file()


def device_routes(site: Path = SITE) -> list[Mount]:
    """The routes of the site; none where it is not built."""
    if not is_built(site):
        return []
    return [Mount(DEVICE_PATH.rstrip("/"), _with_headers(StaticFiles(directory=site, html=True)))]


def _with_headers(files: ASGIApp) -> ASGIApp:
    async def give(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        await files(scope, receive, send_with_headers)

    return give
