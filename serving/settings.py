"""What an operator may set, by environment variables that begin with GENRE_, in one typed place."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.session import has_nvidia_driver

# The same place in a clone, in an installed wheel and in a bento: artifacts/ lies beside serving/.
ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
SAMPLE_CLIP = ARTIFACTS / "sample.mp3"
# Chunks. A CPU is no faster with more, and who decodes waits the longer for a turn: with 64, a tenth fewer requests a
# second at 16 clients, and two thirds more memory.
GPU_BATCH, CPU_BATCH = 64, 16


def _largest_batch(provider: str) -> int:
    return GPU_BATCH if provider != "cpu" and has_nvidia_driver() else CPU_BATCH


class Settings(BaseSettings):
    """Settings of the service and the command line, e.g. GENRE_PROVIDER=cpu; frozen once read."""

    model_config = SettingsConfigDict(env_prefix="GENRE_", frozen=True, extra="ignore")

    model: Path = ARTIFACTS / "genre.onnx"
    """The ONNX file to serve."""
    provider: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes CUDA where it works and the CPU where not; cuda makes a GPU that does not work an error."""
    gpu_memory_mb: int = Field(default=4096, ge=256)
    """Most memory of the GPU that the session may take, in MiB; what CUDA itself needs comes on top."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of one session run; 0 leaves it to ONNX Runtime (one per physical core)."""
    workers: int = Field(default=max(2, min(8, (os.cpu_count() or 2) // 2)), ge=1)
    """Front processes, which receive, decode and answer; the session has a process of its own."""
    max_batch_size: int = Field(default_factory=lambda known: _largest_batch(known.get("provider", "")), ge=2)
    """Most chunks in one session run, whichever requests they come from."""
    max_upload_mb: int = Field(default=256, ge=1)
    """Largest request body in MiB; 256 is a 20-minute WAV at CD quality and some."""
    max_seconds: float = Field(default=1200.0, gt=0, allow_inf_nan=False)
    """Longest audio of one file."""
    upload_timeout: float = Field(default=300.0, ge=1, allow_inf_nan=False)
    """Seconds a client may take to send its files."""
    timeout: float = Field(default=60.0, ge=1, allow_inf_nan=False)
    """Seconds to judge what was sent, waiting included; then the answer is 503."""
    max_wait: float = Field(default=15.0, gt=0, allow_inf_nan=False)
    """Seconds that a request may have to wait for those before it; where it would be more, it is refused at once."""


def read_settings() -> Settings:
    """The settings of the environment.

    Raises:
        SystemExit: a variable has a value that cannot be; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "GENRE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SystemExit(f"{name}={first['input']!r} will not do: {first['msg']}.") from None
