"""The model in a browser beside the native runtime: `python -m benchmarks.browser` times both in headless Chromium."""

import argparse
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from playwright.sync_api import Browser, Page

from benchmarks.machine import machine
from benchmarks.timing import DEFAULT_SECONDS, compare, timed, write_result
from browser.build import HERE, BuildError, build
from genre_classifier import Classifier
from genre_classifier.models import DEFAULT_MODEL, find_model
from tests.support import DATA
from tests.support.chromium import CHROMIUM, launched
from tests.support.music import as_sold
from tests.support.songs import Song, recording
from tests.support.web import WebServer

RESULT = Path(__file__).parent / "results" / "browser.json"
CLIP_SECONDS = 30
SONGS = 30
VISITS = 5
NATIVE, ONE_THREAD, THREADS = "library, one thread", "browser, one thread", "browser, isolated"
RESAMPLING = "browser, resampling alone"
READY = "() => document.getElementById('model').textContent.startsWith('Model ')"
CLASSIFY = """async (name) => {
    const { Classifier } = await import("./classifier/classifier.js");
    window.classifier ??= await Classifier.load();
    window.file = name === window.named ? window.file : await (await fetch(name)).blob();
    window.named = name;
    const begin = performance.now();
    const verdict = await window.classifier.classify(window.file);
    return { verdict, seconds: (performance.now() - begin) / 1000 };
}"""
RESAMPLE = """async (seconds) => {
    const { Resampler } = await import("./classifier/resample.js");
    const waveform = new Float32Array(44_100 * seconds).fill(0.5);
    const begin = performance.now();
    const resampler = new Resampler(44_100);
    resampler.push(waveform);
    resampler.end();
    return (performance.now() - begin) / 1000;
}"""
ISOLATED = "crossOriginIsolated"


def run(data: Path | None, seconds: float, output: Path) -> None:
    """Measure, print, and write as JSON."""
    with TemporaryDirectory() as folder, launched() as browser, Classifier(provider="cpu", threads=1) as native:
        site = Path(folder)
        build(find_model(DEFAULT_MODEL), site)
        result = {
            **machine("onnxruntime", "playwright"),
            "chromium": browser.version,
            "onnxruntime_web": _locked_version(),
            "first_visit": _first_visit(browser, site),
            "clip_s": _clip(browser, site, native, seconds),
            "agreement": _agreement(browser, site, native, data) if data else None,
        }
    write_result(output, result)
    print(json.dumps(result, indent=2))


def _locked_version() -> str:
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"]["node_modules/onnxruntime-web"]["version"])


def _first_visit(browser: Browser, site: Path) -> dict[str, Any]:
    """What comes over the network until the site works without one, and how long the model takes to be ready."""
    first, later = [], []
    given: set[str] = set()
    for _ in range(VISITS):
        with WebServer(site) as host:
            context = browser.new_context()
            page = context.new_page()
            first.append(_seconds(partial(_open, page, host.url)))
            given |= {unquote(path).strip("/") or "index.html" for path, status in host.given if status == 200}  # noqa: PLR2004
            later.append(_seconds(partial(_open, page, host.url)))
            context.close()
    contents = [(site / name).read_bytes() for name in given]
    return {
        "bytes": sum(map(len, contents)),
        "bytes_gzip": sum(len(gzip.compress(content)) for content in contents),
        "ready_s": statistics.median(first),
        "ready_later_s": statistics.median(later),
    }


def _open(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_function(READY)


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _clip(browser: Browser, site: Path, native: Classifier, seconds: float) -> dict[str, float]:
    """A clip, from its file to its verdict: by the library, and in pages without and with threads."""
    song = recording("MP3", CLIP_SECONDS)
    (site / song.name).write_bytes(song.content)
    with WebServer(site) as host:
        plain = browser.new_context(service_workers="block").new_page()
        _open(plain, host.url)
        isolated = browser.new_context().new_page()
        for _ in range(2):  # the second visit is isolated
            _open(isolated, host.url)
        assert not plain.evaluate(ISOLATED)
        assert isolated.evaluate(ISOLATED)
        contenders = {
            NATIVE: timed(lambda: native.classify(song.content)),
            ONE_THREAD: lambda: float(plain.evaluate(CLASSIFY, song.name)["seconds"]),
            THREADS: lambda: float(isolated.evaluate(CLASSIFY, song.name)["seconds"]),
            RESAMPLING: lambda: float(plain.evaluate(RESAMPLE, CLIP_SECONDS)),
        }
        taken = compare(contenders, seconds=seconds)
    (site / song.name).unlink()
    return taken


def _agreement(browser: Browser, site: Path, native: Classifier, data: Path) -> dict[str, Any]:
    """Of real music: how many songs have the same genre, and by how much their mean probabilities differ at most."""
    songs = as_sold(data, SONGS)
    same, differences = 0, []
    with WebServer(site) as host:
        page = browser.new_page()
        _open(page, host.url)
        for song in songs:
            expected = native.classify(song.content)
            given = _in_page(page, site, song)
            same += given["genre"] == expected.genre
            differences += [abs(given["probabilities"][label] - p) for label, p in expected.probabilities.items()]
    return {"songs": len(songs), "same_genre": same, "largest_difference": max(differences)}


def _in_page(page: Page, site: Path, song: Song) -> dict[str, Any]:
    (site / song.name).write_bytes(song.content)
    verdict: dict[str, Any] = page.evaluate(CLASSIFY, song.name)["verdict"]
    (site / song.name).unlink()
    return verdict


def table(result: Mapping[str, Any]) -> str:
    """A result as Markdown."""
    visit, clip, agreement = result["first_visit"], result["clip_s"], result["agreement"]
    megabytes = f"{visit['bytes'] / 1e6:.1f} MB, {visit['bytes_gzip'] / 1e6:.1f} MB with gzip"
    rows = {
        f"a {CLIP_SECONDS} s MP3: the library, one thread": f"{clip[NATIVE]:.2f} s",
        f"a {CLIP_SECONDS} s MP3: the browser, one thread": f"{clip[ONE_THREAD]:.2f} s",
        f"a {CLIP_SECONDS} s MP3: the browser, isolated": f"{clip[THREADS]:.2f} s",
        f"resampling {CLIP_SECONDS} s alone, in the browser": f"{clip[RESAMPLING]:.2f} s",
        "first visit: what comes over the network": megabytes,
        "first visit: until the model is ready": f"{visit['ready_s']:.1f} s",
        "later visits: until the model is ready": f"{visit['ready_later_s']:.1f} s",
        f"songs of {agreement['songs']} that have the library's genre": f"{agreement['same_genre']}",
        "largest difference of a song's mean probability": f"{agreement['largest_difference']:.1e}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows.items())])


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.browser`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.browser", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="a folder that holds gtzan/ and others (default: GENRE_DATA)"
    )
    parser.add_argument("--seconds", type=float, default=4 * DEFAULT_SECONDS, help="to spend on each way of a clip")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    args = parse_args()
    if CHROMIUM is None:
        sys.exit("benchmarks.browser: there is no chromium.")
    try:
        run(**vars(args))
    except BuildError as error:
        sys.exit(f"benchmarks.browser: {error}")
