"""Settings: a value that cannot be is named in one sentence; the library and the service read the same variables."""

import pytest

from genre_classifier.settings import Settings, read_settings
from serving.settings import ServiceSettings


@pytest.mark.parametrize(
    "setting",
    [
        *("MAX_SECONDS=inf", "TIMEOUT=inf", "TIMEOUT=0.0005", "UPLOAD_TIMEOUT=nan", "WORKERS=0", "WORKERS=none"),
        *("MAX_BATCH_SIZE=1", "PROVIDER=tpu", "MAX_UPLOAD_MB=0"),
    ],
)
def test_a_value_that_cannot_be_is_named(monkeypatch, setting):
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"GENRE_{name}", value)
    with pytest.raises(SystemExit, match=f"GENRE_{name}='{value}' is not valid"):
        read_settings(ServiceSettings)


def test_the_service_has_limits_that_the_library_has_not(monkeypatch):
    for name in ("MAX_SECONDS", "MAX_BATCH_SIZE"):
        monkeypatch.delenv(f"GENRE_{name}", raising=False)
    assert read_settings(Settings).max_seconds is None
    assert read_settings(ServiceSettings).max_seconds == 1200
    assert read_settings(Settings).max_batch_size is None
    assert read_settings(ServiceSettings).max_batch_size >= 16


def test_a_variable_counts_for_both(monkeypatch):
    monkeypatch.setenv("GENRE_MAX_SECONDS", "30")
    assert read_settings(Settings).max_seconds == read_settings(ServiceSettings).max_seconds == 30


@pytest.mark.parametrize("keys", [",", " ", "clé", "a\tb"])
def test_a_key_that_cannot_be_is_not_shown(monkeypatch, keys):
    monkeypatch.setenv("GENRE_API_KEYS", keys)
    with pytest.raises(SystemExit, match=r"^GENRE_API_KEYS is not valid") as told:
        read_settings(ServiceSettings)
    assert repr(keys) not in str(told.value)


def test_keys_and_hosts_are_lists(monkeypatch):
    monkeypatch.setenv("GENRE_API_KEYS", "hush, two,")
    monkeypatch.setenv("GENRE_ALLOWED_HOSTS", "a.example,b.example")
    settings = read_settings(ServiceSettings)
    assert settings.key_list == ["hush", "two"]
    assert settings.host_list == ["a.example", "b.example"]
    assert "hush" not in repr(settings)
