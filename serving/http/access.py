"""Who may ask: a browser that was not led here by another site, and a client that has a key where keys are set."""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from serving.http.device import DEVICE_PATH
from serving.http.errors import RequestError
from serving.http.pages import PAGE_FILES

LOOPBACK_NAME = "localhost"
ANY_HOST = "*"
WITHOUT_KEY = frozenset({  # probes, metrics, what asks for the key, and what a browser reads that cannot send one
    "/livez", "/readyz", "/healthz", "/metrics", "/", *PAGE_FILES, "/sample.mp3", "/about", "/docs", "/docs.json",
    "/schema.json",
})  # fmt: skip


class Access:
    """What is checked of a request's head, before anything else."""

    def __init__(self, *, hosts: Sequence[str] = (), keys: Sequence[str] = ()) -> None:
        """Hold the names and the keys.

        Args:
            hosts: by which the service may be asked for on loopback, beside loopback's own; "*" is any.
            keys: one of which a client must send; without any, none is asked for.
        """
        self._hosts = {host.lower() for host in hosts}
        self._keys = [_digest(key.encode()) for key in keys]

    def check(self, scope: Scope) -> None:
        """Refuse a request that may not be answered.

        Raises:
            RequestError: 421 a name that is not ours; 401 no key, or a wrong one.
        """
        headers = Headers(scope=scope)
        self._check_host(scope, headers)
        if self._keys and scope["path"] not in WITHOUT_KEY and not scope["path"].startswith(DEVICE_PATH):
            self._check_key(headers)

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        """On loopback, a foreign name is that of a site whose address was changed to ours, to read what we answer."""
        server = scope.get("server")
        host = _without_port(headers.get("host", ""))
        if not (server and is_loopback(server[0]) and host) or ANY_HOST in self._hosts:
            return
        if not is_loopback(host) and host not in self._hosts:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "The service does not go by this name: the operator may add it to GENRE_ALLOWED_HOSTS.",
            )

    def _check_key(self, headers: Headers) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(key.encode("latin-1"))  # a header's bytes, as they came
        # All keys are compared, and whole digests, so that the time this takes tells nothing.
        if not sum(compare_digest(digest, each) for each in self._keys):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "A key is needed: send one of the operator's with the header Authorization: Bearer KEY.",
                {"WWW-Authenticate": "Bearer"},
            )


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine alone."""
    if host == LOOPBACK_NAME or host.endswith(f".{LOOPBACK_NAME}"):
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    # Where one socket takes both versions, 127.0.0.1 is ::ffff:127.0.0.1, which Python takes for another.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _without_port(host: str) -> str:
    name, colon, port = host.strip().lower().rpartition(":")
    return (name if colon and port.isdecimal() else host.strip().lower()).rstrip(".")


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
