"""What the environment may set, by variables that begin with GENRE_; the command line and the service read them."""

from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from genre_classifier.models import DEFAULT_MODEL

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """How the model runs, e.g. GENRE_PROVIDER=cpu; frozen once read."""

    model_config = SettingsConfigDict(env_prefix="GENRE_", frozen=True, extra="ignore")

    model: str = DEFAULT_MODEL
    """genre, the model that ships; cnn, where its file lies beside; or the path of an ONNX file."""
    provider: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes CUDA where it works and the CPU where not; cuda makes a GPU that does not work an error."""
    gpu_memory_mb: int | None = Field(default=None, ge=256)
    """Most memory of the GPU that the session may take, in MiB, by default what the largest batch needs; what CUDA
    itself needs comes on top."""
    cuda_graph: bool = False
    """On a GPU, replay recorded runs of a few batch sizes instead of launching kernel after kernel."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of one session run; 0 chooses."""
    max_batch_size: int | None = Field(default=None, ge=2)
    """Most chunks in one session run, whichever clips they come from; by default 64 on a GPU and 16 on a CPU."""
    max_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest audio of one file; without it, the command line has no limit."""

    @property
    def classifier_options(self) -> dict[str, Any]:
        """The arguments of a Classifier that these settings decide, but for its model."""
        return {
            "provider": self.provider,
            "threads": self.threads,
            "batch_size": self.max_batch_size,
            "gpu_memory_mb": self.gpu_memory_mb,
            "cuda_graph": self.cuda_graph,
            "max_seconds": self.max_seconds,
        }


def read_settings(kind: type[S]) -> S:
    """Read the settings of a kind from the environment.

    Raises:
        SystemExit: a variable has an impossible value; the message names it.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        name = "GENRE_" + "_".join(str(part) for part in first["loc"]).upper()
        secret = kind.model_fields[str(first["loc"][0])].annotation is SecretStr
        value = "" if secret else f"={first['input']!r}"
        raise SystemExit(f"{name}{value} is not valid: {first['msg']}.") from None
