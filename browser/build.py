"""Build the static site that classifies in the browser: `python -m browser.build` writes build/demo."""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from genre_classifier import __version__
from genre_classifier.models import DEFAULT_MODEL, SAMPLE_CLIP, find_model
from genre_classifier.session import GenreSession, ModelError, ModelInfo
from serving.http.about import about
from serving.http.device import POLICY, SITE
from serving.http.pages import FOLDER as PAGE

HERE = Path(__file__).parent
ROOT = HERE.parent
RUNTIME = HERE / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES = {"runtime.js": "ort.wasm.bundle.min.mjs", "runtime.wasm": "ort-wasm-simd-threaded.wasm"}
"""The plain build, by the names that every web server knows a type for."""
DOWNLOADED = ("runtime.wasm", "genre.onnx")  # what takes long to come, and whose progress is shown

STYLE = '<link rel="stylesheet" href="page/page.css">'
POLICY_AND_STYLE = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n{STYLE}'
OFFER = '  <p hidden><a href="device/">Classify on this device</a>: nothing is uploaded then.</p>\n'
# All that differs from the service's own pages, beside the module service.js.
IN_THE_PAGE = {
    STYLE: f'<link rel="manifest" href="manifest.json">\n{POLICY_AND_STYLE}',
    "Files go to this service alone, and it keeps none of them.": "Files stay on this device: nothing is uploaded.",
    ' <a href="docs">The service can also be asked from a program.</a>': "",
    OFFER: "",
    "Asking for the model …": "Loading the model …",
    'href="about"': 'href="about.html"',
    '<a href="docs">How to ask this service from a program</a>': '<a href="notices.txt">Licences</a>',
}
IN_ABOUT = {STYLE: f'<link rel="icon" href="icon.svg">\n{POLICY_AND_STYLE}'}


class BuildError(Exception):
    """The site cannot be built; the message is one sentence."""


def build(model: Path, output: Path) -> None:
    """Write the site into a folder, in place of one that was there.

    Raises:
        BuildError: the runtime is not installed, the folder holds something else, or the page has changed so that it
            does not fit.
        ModelError: the model cannot be used.
    """
    if not RUNTIME.is_dir():
        raise BuildError("The runtime is not installed: make demo does that, by npm ci in browser/.")
    if output.exists() and any(output.iterdir()) and not (output / "sw.js").is_file():
        raise BuildError(f"{output} holds something else: name a folder that is new, empty, or built before.")
    info = GenreSession(model, provider="cpu").info
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent) as folder:
        site = Path(folder) / "site"
        _write(site, model, info)
        shutil.rmtree(output, ignore_errors=True)
        site.rename(output)


def _write(output: Path, model: Path, info: ModelInfo) -> None:
    shutil.copytree(PAGE, output / "page", ignore=shutil.ignore_patterns("index.html", "service.js"))
    shutil.copy(HERE / "site" / "service.js", output / "page")
    classifier = output / "classifier"
    shutil.copytree(HERE / "classifier", classifier)
    for name, source in RUNTIME_FILES.items():
        shutil.copy(RUNTIME / source, classifier / name)
    shutil.copy(model, classifier / "genre.onnx")
    (classifier / "model.json").write_text(json.dumps(_described(info, classifier)), encoding="utf-8")
    for file in (SAMPLE_CLIP, HERE / "site" / "manifest.json", HERE / "site" / "icon.svg"):
        shutil.copy(file, output / file.name)
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    (output / "index.html").write_text(_changed(page, IN_THE_PAGE), encoding="utf-8")
    told = about(info.model_copy(update={"provider": "WebAssembly"}), figures="classifier/model.json")
    (output / "about.html").write_text(_changed(told, IN_ABOUT), encoding="utf-8")
    (output / "notices.txt").write_text(_notices(), encoding="utf-8")
    _write_service_worker(output)


def _described(info: ModelInfo, classifier: Path) -> dict[str, object]:
    """What the service's /model gives, but who runs the model; and the bytes that come before it can answer."""
    return {
        "release": __version__,
        **info.model_dump(mode="json", exclude={"provider"}),
        "limits": {},
        "bytes": sum((classifier / name).stat().st_size for name in DOWNLOADED),
    }


def _changed(page: str, changes: Mapping[str, str]) -> str:
    for there, here in changes.items():
        if page.count(there) != 1:
            raise BuildError(f"The page must have this once: {there}")
        page = page.replace(there, here)
    return page


def _notices() -> str:
    """The licences of all that the site holds; ONNX Runtime's are in its Python package alone."""
    import onnxruntime  # noqa: PLC0415 (it takes long, and --help needs none)

    package = Path(onnxruntime.__file__).parent
    parts = [
        ROOT / "LICENSE",
        ROOT / "train" / "network" / "body.NOTICE.txt",
        package / "LICENSE",
        HERE / "site" / "emscripten.txt",
        package / "ThirdPartyNotices.txt",
    ]
    text = (HERE / "site" / "notices.txt").read_text(encoding="utf-8")
    for number, part in enumerate(parts, 1):
        text += f"\n{'-' * 120}\n({number})\n\n{part.read_text(encoding='utf-8').strip()}\n"
    return text


def _write_service_worker(output: Path) -> None:
    """sw.js, with the digests of all files, so that it changes with any of them."""
    files = sorted(path for path in output.rglob("*") if path.is_file())
    digests = {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files
    }
    large = [f"classifier/{name}" for name in DOWNLOADED]
    constants = f"const FILES = {json.dumps(digests, indent=2)};\nconst LARGE = {json.dumps(large)};\n\n"
    source = (HERE / "site" / "sw.js").read_text(encoding="utf-8")
    (output / "sw.js").write_text(constants + source, encoding="utf-8")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m browser.build`."""
    parser = argparse.ArgumentParser(prog="python -m browser.build", description=__doc__)
    parser.add_argument(
        "--model", type=find_model, default=find_model(DEFAULT_MODEL), help="genre, cnn, or an ONNX file"
    )
    parser.add_argument("--output", type=Path, default=SITE, help="the folder to write (default: build/demo)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    args = parse_args()
    try:
        build(args.model, args.output)
    except (BuildError, ModelError) as error:
        sys.exit(f"browser.build: {error}")
