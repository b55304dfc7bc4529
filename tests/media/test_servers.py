"""What settings say of STUN and TURN servers, and what is done with what these say."""

import asyncio
import re
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import ValidationError, convert

from appliance.media import reflexive as reflexive_module
from appliance.media.config import MediaConfig
from appliance.media.port import Port
from appliance.media.reflexive import MISSES, Reflexive
from appliance.media.servers import Login, Server, TurnServer, stun_server, turn_server
from appliance.media.udp import sockaddr
from appliance.wire import stun


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("stun.example", Server("stun.example", 3478)),
        ("stun.example:19302", Server("stun.example", 19302)),
        ("stun:192.0.2.1:3479", Server("192.0.2.1", 3479)),
        ("[2001:db8::1]:3478", Server("2001:db8::1", 3478)),
    ],
)
def test_stun_servers(text: str, server: Server) -> None:
    assert stun_server(text) == server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("turn:turn.example", Server("turn.example", 3478)),
        ("turn:turn.example:443?transport=tcp", Server("turn.example", 443, "tcp")),
        ("turns:turn.example", Server("turn.example", 5349, "tls")),
        ("turns:turn.example:443?transport=tcp", Server("turn.example", 443, "tls")),
        ("192.0.2.1:3478", Server("192.0.2.1", 3478)),
    ],
)
def test_turn_servers(text: str, server: Server) -> None:
    assert turn_server(text) == server


@pytest.mark.parametrize(
    "settings",
    [
        {"stun_servers": ["http://stun.example"]},
        {"stun_servers": ["stun.example:99999"]},
        {"stun_servers": ["user@stun.example"]},
        {"stun_servers": [""]},
        {"turn_servers": [{"url": "turn:turn.example?transport=sctp"}]},
        {"turn_servers": [{"url": "turns:turn.example?transport=udp"}]},
        {"turn_servers": [{"url": "turn:"}]},
    ],
)
def test_what_names_no_server_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(stun_servers|url): '.*' came, wanted"):
        convert({"ice": "full", **settings}, MediaConfig)
    with pytest.raises(ValueError, match='wanted "full"'):
        MediaConfig(stun_servers=["stun.example"])


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ([{"url": "turn:a"}] * 5, "turn_servers: 5 came, wanted 4 at most"),
        ([{"url": "turn:a", "ca_file": "ca.pem"}], "ca_file came with 'turn:a', wanted it with turns: only"),
        ([{"username": "a"}], "url, rest_api: wanted one of them"),
        ([{"url": "turn:a", "rest_api": "https://a"}], "url, rest_api: wanted one of them"),
        ([{"rest_api": "ftp://a"}], "rest_api: wanted http://... or https://..."),
        ([{"url": "turn:a", "secret": "x", "password": "y"}], "password came with secret, wanted one of them"),
    ],
)
def test_turn_settings_that_contradict_each_other_are_refused(settings: list[dict[str, str]], wanted: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(wanted)):
        convert({"ice": "full", "turn_servers": settings}, MediaConfig)


def test_a_shared_secret_makes_logins_that_expire(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("north wind\n")
    server = TurnServer(url="turn:a", secret_file=str(tmp_path / "secret")).read("turn_servers[0]")
    # The password is of: printf '%s' 1700086400:gateway | openssl dgst -sha1 -hmac 'north wind' -binary | base64
    assert server.login(1_700_000_000) == Login("1700086400:gateway", "KWnCGSthVD0+tebnFiUMCOjiSZw=")
    with pytest.raises(ValueError, match=r"^turn_servers\[1\].secret_file: .*/none: No such file or directory$"):
        TurnServer(url="turn:a", secret_file=str(tmp_path / "none")).read("turn_servers[1]")


# --- STUN


class Socket:
    """A media socket that nobody listens on."""

    def __init__(self, host: str = "192.0.2.2") -> None:
        self.host = self.announced = host
        self.port = 10_000
        self.sent: list[tuple[bytes, bytes]] = []
        self.asked = asyncio.Event()

    def send(self, data: bytes, key: bytes) -> None:
        self.sent.append((data, key))
        self.asked.set()


def asker(*servers: str, ports: list[Socket]) -> Reflexive:
    return Reflexive([stun_server(text) for text in servers], cast(list[Port], ports))


def answers(asking: Reflexive, port: Socket, seen: dict[str, tuple[str, int]]) -> None:
    """Each server answers what is under its host."""
    sent, port.sent = port.sent, []
    port.asked.clear()
    for data, key in sent:
        address = seen.get(".".join(map(str, key[4:8])))
        if address is not None:
            reply = stun.binding_response(stun.parse(data).transaction_id, address, b"")
            assert asking.response(cast(Port, port), key, stun.parse(reply))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflexive_module, "WAITS", (0.01,))
    monkeypatch.setattr(reflexive_module, "RETRY", 0.0)
    monkeypatch.setattr(reflexive_module, "KEEPALIVE", 0.0)


async def rounds(asking: Reflexive, port: Socket, *seen: dict[str, tuple[str, int]]) -> None:
    """As many rounds as there are answers."""
    for answer in seen:
        task = asyncio.create_task(asking._round())
        await port.asked.wait()
        answers(asking, port, answer)
        await task


async def test_a_mapped_address_becomes_a_candidate(fast: None) -> None:
    port = Socket()
    asking = asker("198.51.100.1", ports=[port, Socket("127.0.0.1"), Socket("2001:db8::1")])
    await rounds(asking, port, {"198.51.100.1": ("203.0.113.7", 41_000)})
    (candidate,) = asking.candidates()
    assert candidate.to_sdp() == (
        "candidate:s1 1 udp 1694498815 203.0.113.7 41000 typ srflx raddr 192.0.2.2 rport 10000"
    )
    assert not asking.unpredictable
    await rounds(asking, port, {"198.51.100.1": ("192.0.2.2", 10_000)})
    assert not list(asking.candidates())


async def test_an_address_that_nobody_confirms_is_not_offered_any_more(
    fast: None, caplog: pytest.LogCaptureFixture
) -> None:
    port = Socket()
    asking = asker("198.51.100.1", ports=[port])
    await rounds(asking, port, {"198.51.100.1": ("203.0.113.7", 41_000)})
    await rounds(asking, port, *[{}] * (MISSES - 1))
    assert list(asking.candidates())
    await rounds(asking, port, {})
    assert not list(asking.candidates())
    assert "no STUN server answers 192.0.2.2 port 10000" in caplog.text


async def test_servers_that_disagree_tell_of_a_nat_that_stun_does_not_help(
    fast: None, caplog: pytest.LogCaptureFixture
) -> None:
    port = Socket()
    asking = asker("198.51.100.1", "198.51.100.2", ports=[port])
    await rounds(asking, port, {"198.51.100.1": ("203.0.113.7", 41_000), "198.51.100.2": ("203.0.113.7", 41_001)})
    assert asking.unpredictable
    assert "203.0.113.7:41000 and 203.0.113.7:41001" in caplog.text


async def test_an_answer_from_elsewhere_is_none(fast: None) -> None:
    port = Socket()
    asking = asker("198.51.100.1", ports=[port])
    task = asyncio.create_task(asking._round())
    await port.asked.wait()
    ((data, key),) = port.sent
    reply = stun.parse(stun.binding_response(stun.parse(data).transaction_id, ("203.0.113.7", 1), b""))
    assert not asking.response(cast(Port, port), sockaddr("198.51.100.9", 3478), reply)
    assert not asking.response(cast(Port, Socket()), key, reply)
    assert not await task
    assert not asking.mapped


async def test_a_name_that_is_unknown_is_told_once(fast: None, caplog: pytest.LogCaptureFixture) -> None:
    asking = asker("stun.invalid", ports=[Socket()])
    assert not await asking._round()
    assert not await asking._round()
    assert caplog.text.count("STUN server stun.invalid") == 1
