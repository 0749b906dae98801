"""What tests and benchmarks share: servers, clients, songs, signals, a stand-in model."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ["GENRE_DATA"]).resolve() if os.environ.get("GENRE_DATA") else None
"""The folder of real music, which holds gtzan/; None where GENRE_DATA is unset."""
