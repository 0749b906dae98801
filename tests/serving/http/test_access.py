"""Which names the service goes by, by the address at which it is asked."""

import pytest

from serving.http.access import Access
from serving.http.errors import RequestError


def scope(server, host):
    return {"type": "http", "path": "/model", "server": (server, 3000), "headers": [(b"host", host.encode())]}


@pytest.mark.parametrize("server", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_over_loopback_it_goes_by_names_of_loopback_alone(server):
    for host in ("localhost", "127.0.0.1:3000", "[::1]:3000", "[::ffff:127.0.0.1]:3000"):
        Access().check(scope(server, host))
    for host in ("evil.example", "evil.example:3000", "::ffff:10.0.0.1"):
        with pytest.raises(RequestError, match="does not go by this name"):
            Access().check(scope(server, host))


@pytest.mark.parametrize("server", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"])
def test_over_a_network_it_goes_by_any(server):
    Access().check(scope(server, "music.example"))
