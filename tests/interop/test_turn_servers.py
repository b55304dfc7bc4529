"""Several TURN servers, over TLS, with addresses of both IP versions, and what they refuse: coturn as it is."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from appliance.core.events import SelectedPair
from appliance.media import gathering, lender
from appliance.media.engine import Engine
from appliance.media.servers import TurnServer
from tests.hep.certificates import certificate
from tests.interop.test_turn import call, deafen
from tests.media.harness import Handle, engine, until
from tests.peers.coturn import PASSWORD, USER, coturn
from tests.peers.janus import free_port

pytestmark = pytest.mark.interop

SECRET = "north wind"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1", "::1"])
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 5.0)
    monkeypatch.setattr(lender, "KEEPALIVE", 0.05)


def user_of(address: str, scheme: str = "turn", **settings: Any) -> TurnServer:
    return TurnServer(url=f"{scheme}:{address}", **{"username": USER, "password": PASSWORD, **settings})


@asynccontextmanager
async def using(*servers: TurnServer, **settings: Any) -> AsyncIterator[Engine]:
    found = await engine(ice="full", turn_servers=list(servers), **settings)
    try:
        yield found
    finally:
        await found.stop()


def lent(found: Engine) -> list[str]:
    return [candidate.address for candidate in found.gathering.candidates() if candidate.type == "relay"]


def counts(found: Engine) -> dict[tuple[str, ...], float]:
    return {tuple(item.labels.values()): item.value for item in found.measure() if item.name.startswith("turn_")}


async def become(true: Callable[[], bool], said: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(15):
            while not true():  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(said()) from None


async def test_a_server_that_is_down_costs_its_own_candidates_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lender, "RETRY_SECONDS", (0.01, 0.02))
    caplog.set_level(logging.INFO)
    dead = free_port()
    with coturn(tmp_path / "one") as one, coturn(tmp_path / "two", relays=["127.0.0.1", "::1"]) as two:
        down = user_of(f"127.0.0.1:{dead}?transport=tcp")
        async with using(down, user_of(one.address), user_of(f"{two.address}?transport=tcp")) as found:
            assert lent(found) == ["127.0.0.1", "127.0.0.1", "::1"]
            first, second, third = (item.priority for item in found.gathering.candidates() if item.type == "relay")
            assert first > second > third
            await become(
                lambda: counts(found).get((f"127.0.0.1:{dead}/tcp", "unreachable"), 0) > 3, lambda: counts(found)
            )
            assert counts(found)[f"127.0.0.1:{dead}/tcp",] == 0
            assert counts(found)[f"{one.address}/udp",] == 1
            assert counts(found)[f"{two.address}/tcp",] == 2
            assert caplog.text.count(f"TURN server 127.0.0.1:{dead}/tcp, for an IPv4 address") == 1
            # It is there after all.
            with coturn(tmp_path / "three", port=dead):
                await become(lambda: len(lent(found)) == 4, lambda: lent(found))
        assert caplog.text.count("TURN allocation deleted") == 3


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_ipv6_server_lends_an_ipv6_address_that_a_call_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    with coturn(tmp_path, host="::1") as server:
        async with using(user_of(f"{server.address}?transport={transport}"), addresses=["::1"]) as found:
            assert lent(found) == ["::1"]
            deafen(found, monkeypatch)
            handle = Handle(found)
            connection = await call(handle)
            await until(handle, lambda: handle.peer.up)
            (relay,) = found.gathering.relays
            pair = handle.all(SelectedPair)[-1].pair
            assert pair.startswith(f"::1:{relay.port} [relay,udp] <-> ::1:"), pair
            await connection.close()


async def test_tls_takes_a_server_whose_certificate_can_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pem, key = certificate(tmp_path, "homer")
    with coturn(tmp_path / "right", certificate=(pem, key)) as right:
        known = user_of(right.address, "turns", ca_file=str(pem))
        async with using(known) as found:
            assert lent(found) == ["127.0.0.1"]
            deafen(found, monkeypatch)
            handle = Handle(found)
            connection = await call(handle)
            await until(handle, lambda: handle.peer.up)
            await connection.close()
        async with using(user_of(right.address, "turns")) as found:
            assert lent(found) == []
            assert counts(found)[f"{right.address}/tls", "unreachable"] == 2
        assert "certificate verify failed" in caplog.text
    caplog.clear()
    pem, key = certificate(tmp_path, "elsewhere")
    with coturn(tmp_path / "wrong", certificate=(pem, key)) as wrong:
        async with using(user_of(wrong.address, "turns", ca_file=str(pem))) as found:
            assert lent(found) == []
        assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in caplog.text


async def test_a_shared_secret_opens_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with coturn(tmp_path, "--use-auth-secret", f"--static-auth-secret={SECRET}") as server:
        async with using(TurnServer(url=f"turn:{server.address}", secret=SECRET)) as found:
            assert lent(found) == ["127.0.0.1"]
        async with using(TurnServer(url=f"turn:{server.address}", secret="south wind")) as found:
            assert lent(found) == []
            assert counts(found)[f"{server.address}/udp", "credentials"] == 2
    assert "wind" not in caplog.text


async def test_a_quota_keeps_what_it_allows(tmp_path: Path) -> None:
    with coturn(tmp_path, "--user-quota=1", relays=["127.0.0.1", "::1"]) as server:
        async with using(user_of(server.address)) as found:
            assert lent(found) == ["127.0.0.1"]
            assert counts(found)[f"{server.address}/udp", "quota"] == 1


async def test_a_nonce_that_goes_stale_is_answered(tmp_path: Path) -> None:
    with coturn(tmp_path, "--stale-nonce=1", "--verbose") as server:
        async with using(user_of(server.address)) as found:
            before = found.gathering.relays
            await become(lambda: "error 438" in server.said, lambda: server.said)
            assert found.gathering.relays == before
            assert counts(found) == {(f"{server.address}/udp",): 1}


async def test_a_rest_api_names_servers_and_a_login(tmp_path: Path) -> None:
    with coturn(tmp_path, "--use-auth-secret", f"--static-auth-secret={SECRET}") as server:
        login = TurnServer(url="turn:a", secret=SECRET).login(int(time.time()))
        dead = f"turn:127.0.0.1:{free_port()}?transport=tcp"

        async def answer(_request: web.Request) -> web.Response:
            uris = [dead, f"turn:{server.address}?transport=udp"]
            return web.json_response({"username": login.username, "password": login.password, "uris": uris})

        application = web.Application()
        application.router.add_post("/", answer)
        async with TestServer(application) as api, using(TurnServer(rest_api=str(api.make_url("/")))) as found:
            assert lent(found) == ["127.0.0.1"]
