"""Who comes in: addresses, rates, TLS, and what the Admin API may ask of a transport."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.net.tls import server_context
from appliance.transports.door import MAX_ADDRESSES, Door, DoorConfig
from appliance.transports.http import HttpTransport
from appliance.transports.queries import answer_query
from appliance.transports.websocket import WebSocketTransport
from tests.clock import FakeClock
from tests.core.world import World


def make_certificate(folder: Path) -> tuple[str, str]:
    """Files of a certificate for 127.0.0.1 that signs itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    private = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, no_password))
    return str(certificate_file), str(key_file)


def door(clock: FakeClock | None = None, **settings: Any) -> Door:
    return Door(DoorConfig(**settings), clock or FakeClock(), allow_origin="*")


def request_from(address: str, **headers: str) -> Any:
    class Wire:
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return (address, 1) if name == "peername" else default

    return make_mocked_request("GET", "/", headers=headers, transport=Wire())


@pytest.mark.parametrize(
    ("acl", "forwarded", "address", "header", "admitted"),
    [
        ([], False, "203.0.113.1", None, True),
        (["192.0.2."], False, "192.0.2.7", None, True),
        (["192.0.2."], False, "192.0.20.7", None, False),
        (["192.0.2."], False, "::ffff:192.0.2.7", None, True),
        (["192.0.2.", "2001:db8:"], False, "2001:db8::1", None, True),
        # The header counts only where it is said that a proxy writes it, and then only what the proxy wrote.
        (["192.0.2."], False, "203.0.113.1", "192.0.2.7", False),
        (["192.0.2."], True, "127.0.0.1", "203.0.113.1, 192.0.2.7", True),
        (["192.0.2."], True, "127.0.0.1", "192.0.2.7, 203.0.113.1", False),
        (["192.0.2."], True, "192.0.2.7", None, True),
    ],
)
def test_the_list_of_addresses(
    acl: list[str], forwarded: bool, address: str, header: str | None, admitted: bool
) -> None:
    headers = {} if header is None else {"X-Forwarded-For": header}
    at = door(acl=acl, acl_forwarded=forwarded)
    assert at.admits(request_from(address, **headers)) is admitted
    assert at.refused == ({} if admitted else {"acl": 1})


def test_requests_a_second() -> None:
    clock = FakeClock()
    at = door(clock, requests_per_second=2)
    assert [at.within_rate("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert at.within_rate("192.0.2.2")
    # One /64 is one customer.
    assert [at.within_rate(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
    clock.advance(1)
    assert at.within_rate("192.0.2.1")
    assert at.refused == {"rate": 2}
    assert all(door(requests_per_second=0).within_rate("a") for _ in range(5000))


def test_addresses_that_are_counted_are_bounded() -> None:
    at = door()
    assert all(at.within_rate(str(n)) for n in range(MAX_ADDRESSES))
    assert not at.within_rate("one more")
    assert at.within_rate("5")


async def test_too_many_requests_over_http_and_websocket() -> None:
    world = World()
    http = HttpTransport(HttpTransport.Config(port=0, requests_per_second=2), world.clock)
    socket = WebSocketTransport(WebSocketTransport.Config(port=0, requests_per_second=2), world.clock)
    for transport in (http, socket):
        await transport.start(world.gateway)
    try:
        async with aiohttp.ClientSession() as client:
            statuses = []
            for _ in range(3):
                async with client.get(http.url + "/ping") as reply:
                    statuses.append(reply.status)
            assert statuses == [200, 200, 429]
            connected = await client.ws_connect(socket.url, protocols=("janus-protocol",))
            answers = []
            for name in "ab":
                await connected.send_json({"janus": "ping", "transaction": name})
                answers.append(await connected.receive_json())
            reason = "Too many requests: at most 2 a second from one address"
            refused = {"janus": "error", "error": {"code": 450, "reason": reason}, "transaction": "b"}
            assert answers == [{"janus": "pong", "transaction": "a"}, refused]
            world.clock.advance(1)
            await connected.send_json({"janus": "ping", "transaction": "c"})
            assert (await connected.receive_json())["janus"] == "pong"
            await connected.close()
    finally:
        for transport in (http, socket):
            await transport.stop()
    limits = [c for each in (http, socket) for c in each.measure() if c.name == "transport_limits_total"]
    assert [(c.labels["limit"], c.value) for c in limits] == [("rate", 1), ("rate", 1)]


async def test_an_address_that_is_not_on_the_list() -> None:
    world = World()
    http = HttpTransport(HttpTransport.Config(port=0, acl=["192.0.2."]), world.clock)
    socket = WebSocketTransport(WebSocketTransport.Config(port=0, acl=["192.0.2."]), world.clock)
    for transport in (http, socket):
        await transport.start(world.gateway)
    try:
        async with aiohttp.ClientSession() as client:
            async with client.get(http.url + "/ping") as reply:
                assert reply.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await client.ws_connect(socket.url, protocols=("janus-protocol",))
    finally:
        for transport in (http, socket):
            await transport.stop()


async def test_https_and_wss(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.check_hostname = False
    world = World()
    settings: Any = {"port": 0, "certificate_file": certificate, "private_key_file": key}
    http = HttpTransport(HttpTransport.Config(**settings), world.clock)
    socket = WebSocketTransport(WebSocketTransport.Config(**settings), world.clock)
    for transport in (http, socket):
        await transport.start(world.gateway)
    assert (http.url[:8], socket.url[:6]) == ("https://", "wss://")
    try:
        async with aiohttp.ClientSession() as client:
            async with client.get(http.url + "/ping", ssl=trusting) as reply:
                assert (await reply.json())["janus"] == "pong"
            connected = await client.ws_connect(socket.url, protocols=("janus-protocol",), ssl=trusting)
            await connected.send_json({"janus": "ping", "transaction": "t"})
            assert (await connected.receive_json())["janus"] == "pong"
            await connected.close()
            with pytest.raises(aiohttp.ClientError):
                await client.get(http.url.replace("https", "http") + "/ping")
        assert http.query({"request": "connections"})["connections"].keys() == {"https"}
    finally:
        for transport in (http, socket):
            await transport.stop()
        # What asyncio leaves to be run when a TLS connection goes.
        await asyncio.sleep(0)


def test_a_certificate_that_can_not_be_used(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    assert server_context("", "") is None
    both = tmp_path / "both.pem"
    both.write_text(Path(certificate).read_text() + Path(key).read_text())
    assert server_context(str(both), "") is not None
    other = tmp_path / "other"
    other.mkdir()
    _, other_key = make_certificate(other)
    for files, wanted in (
        (("", key), "a key without certificate_file"),
        ((certificate, other_key), "key values mismatch"),
        ((str(tmp_path / "nowhere.pem"), ""), "No such file"),
        ((certificate, ""), "certificate_file: .*certificate.pem"),
    ):
        with pytest.raises(ValueError, match=wanted):
            server_context(*files)


async def test_what_the_admin_api_asks_of_a_transport() -> None:
    transport = WebSocketTransport(WebSocketTransport.Config(port=0), FakeClock())
    assert answer_query(transport, {"request": "connections"}) == {"result": 200, "connections": 0}
    assert answer_query(transport, {"request": "configure", "events": False, "json": "compact"}) == {"result": 200}
    assert transport.tells is False
    notes = answer_query(transport, {"request": "configure", "json": "plain"})["notes"]
    assert notes == ["JSON is always compact here, not plain"]
    for request, code in (
        ({}, 412),
        ({"request": 5}, 413),
        ({"request": "x"}, 411),
        ({"request": "configure", "events": 1}, 413),
        ({"request": "configure", "json": 1}, 413),
    ):
        assert answer_query(transport, request)["error_code"] == code
    assert transport.tells is False
