"""What an operator may set, by environment variables that begin with GENRE_."""

from pydantic import Field, SecretStr, field_validator

from genre_classifier.batching import CPU_BATCH, GPU_BATCH
from genre_classifier.cores import cores
from genre_classifier.session import has_nvidia_driver
from genre_classifier.settings import Settings


def _largest_batch(provider: str) -> int:
    return GPU_BATCH if provider != "cpu" and has_nvidia_driver() else CPU_BATCH


class ServiceSettings(Settings):
    """Settings of the service, e.g. GENRE_MAX_UPLOAD_MB=64; frozen once read."""

    threads: int = Field(default=0, ge=0)
    """CPU threads of one session run; 0 takes as many as the service is limited to, or one per physical core."""
    max_batch_size: int = Field(default_factory=lambda known: _largest_batch(known.get("provider", "")), ge=2)
    """Most chunks in one session run, whichever requests they come from."""
    max_seconds: float = Field(default=1200.0, gt=0, allow_inf_nan=False)
    """Longest audio of one file."""
    workers: int = Field(default_factory=lambda: max(2, min(8, cores() // 2)), ge=1)
    """Front processes, which receive, decode and answer; the session has a process of its own."""
    max_upload_mb: int = Field(default=256, ge=1)
    """Largest request body in MiB; 256 holds a WAV of 20 minutes at CD quality."""
    upload_timeout: float = Field(default=300.0, ge=1, allow_inf_nan=False)
    """Seconds a client may take to send its files."""
    timeout: float = Field(default=60.0, ge=1, allow_inf_nan=False)
    """Seconds to classify what was sent, waiting included; then the answer is 503."""
    max_wait: float = Field(default=15.0, gt=0, allow_inf_nan=False)
    """Seconds that a request may have to wait for those before it; a longer wait is refused at once."""
    max_connections: int = Field(default=4000, ge=1)
    """Open connections of each front process; where more come, those that wait longest for a request go."""
    allowed_hosts: str = ""
    """Names, divided by commas, by which the service may be asked for on loopback beside localhost; * is any."""
    api_keys: SecretStr = SecretStr("")
    """Keys, divided by commas, one of which a client must send; without any, none is asked for."""

    @property
    def host_list(self) -> list[str]:
        """The names one by one."""
        return _split(self.allowed_hosts)

    @property
    def key_list(self) -> list[str]:
        """The keys one by one."""
        return _split(self.api_keys.get_secret_value())

    @field_validator("api_keys")
    @classmethod
    def _has_a_key(cls, keys: SecretStr) -> SecretStr:
        text = keys.get_secret_value()
        if text and not _split(text):  # whoever writes this wants no open service
            raise ValueError("holds no key")
        if not text.isprintable() or not text.isascii():
            raise ValueError("a key is of printable ASCII characters")
        return keys


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
