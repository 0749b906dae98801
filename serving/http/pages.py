"""What a browser reads: the page and its files, the sample, what the model is, and how to ask the service."""

from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genre_classifier.models import SAMPLE_CLIP
from serving.http.device import DEVICE_PATH, is_built

FOLDER = Path(__file__).with_name("page")
FILES_PATH = "/page/"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
PAGE_FILES = {FILES_PATH + file.name: file for file in sorted(FOLDER.iterdir()) if file.suffix in MEDIA_TYPES}
"""The style sheet and the scripts of the page, by their addresses."""
# The page needs nothing from another host and never makes markup of text; this has the browser enforce it.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a new version's files come together
}


def file_routes() -> list[Route]:
    """The routes of the page, its files and the sample."""
    files = {"/": (index().encode(), "text/html"), "/sample.mp3": (SAMPLE_CLIP.read_bytes(), "audio/mpeg")}
    files |= {path: (file.read_bytes(), MEDIA_TYPES[file.suffix]) for path, file in PAGE_FILES.items()}
    return [Route(path, _give(*file)) for path, file in files.items()]


def index(*, offers_device: bool | None = None) -> str:
    """The page. It offers to classify on the reader's device, by default where that is built."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    offers = is_built() if offers_device is None else offers_device
    link = f'><a href="{DEVICE_PATH[1:]}">'
    return page.replace(" hidden" + link, link) if offers else page


def as_page(html: str) -> Response:
    """A page of ours as a response, with what the browser must enforce."""
    return Response(html, media_type="text/html", headers=HEADERS)


def _give(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return give


def frame(title: str, *parts: str) -> str:
    """A page to be read: a title, and parts of HTML."""
    return "\n".join((
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<title>{escape(title)}</title>\n<link rel="stylesheet" href="page/page.css">\n</head>\n<body class="text">',
        f'<header><p><a href=".">Which genre is it?</a></p>\n<h1>{escape(title)}</h1></header>\n<main>',
        *parts,
        "</main>\n</body>\n</html>\n",
    ))  # fmt: skip


def table(head: list[str], rows: list[list[Any]], caption: str) -> str:
    """A table of text; a narrow window pushes it along. The first cell of a row names it."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(str(first))}</th>' + "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
        + "</tr>\n"
        for first, *rest in rows
    )  # fmt: skip
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>"
    )
