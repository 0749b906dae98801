import os
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import pytest

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("GENRE_DATA", REPOSITORY.parent / "shared" / "data"))


def pytest_report_header() -> list[str]:
    packages = ["torch", "librosa", "numpy", "soundfile", "soxr", "av", "bentoml"]
    return [
        ", ".join(f"{name} {version(name)}" for name in packages),
        f"onnxruntime {onnxruntime.__version__} with {', '.join(onnxruntime.get_available_providers())}",
        f"real music: {DATA if (DATA / 'gtzan').is_dir() else 'absent'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (DATA / "gtzan").is_dir():
        for item in items:
            if item.get_closest_marker("gtzan"):
                item.add_marker(pytest.mark.skip(reason=f"no real music in {DATA}"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with gtzan/, songs/ and original/."""
    return DATA
