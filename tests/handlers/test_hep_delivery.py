"""How the handler delivers: several servers, TLS, what is too long for UDP, the spool; against real listeners."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from appliance.core.events import IceState
from appliance.handlers.hep.config import HepConfig
from appliance.hep.listener import HepListener
from tests.clock import FakeClock
from tests.handlers.hep_calls import jsep, of_handle
from tests.handlers.test_hep_handler import counts, handler
from tests.hep.certificates import certificate
from tests.hep.inbox import Inbox
from tests.hep.until import until
from tests.peers.janus import free_port


def tls_server(folder: Path, name: str, *, clients: Path | None = None) -> ssl.SSLContext:
    pem, key = certificate(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


async def test_tls_with_a_certificate_of_our_own_and_another_name(tmp_path: Path) -> None:
    ours, key = certificate(tmp_path, "appliance")
    inbox = Inbox()
    server_side = tls_server(tmp_path, "homer.example", clients=ours)
    async with HepListener(inbox, port=0, udp=False, tls=server_side) as listener:
        made = handler(
            server=f"tls://127.0.0.1:{listener.port}",
            tls_ca_file=str(tmp_path / "homer.example.pem"),
            tls_cert_file=str(ours),
            tls_key_file=str(key),
            tls_server_name="homer.example",
        )
        await made.start()
        await made.handle([of_handle(jsep("remote", "offer"))])
        await inbox.have(1)
        await made.stop()
    assert listener.tally.packets["tls"] == 1
    assert counts(made)["hep_packets_sent_total", "tls", "sip"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"tls_server_name": ""}, id="another name"),
        pytest.param({"tls_ca_file": ""}, id="another authority"),
    ],
)
async def test_tls_refuses_a_server_that_is_not_the_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0, udp=False, tls=tls_server(tmp_path, "homer.example")) as listener:
        wanted = {
            "server": f"tls://127.0.0.1:{listener.port}",
            "tls_ca_file": str(tmp_path / "homer.example.pem"),
            "tls_server_name": "homer.example",
        }
        made = handler(**{**wanted, **settings})
        await made.start()
        await made.handle([of_handle(jsep("remote", "offer"))])
        await until(lambda: made._clients[0].tally.errors)
        await made.stop()
    assert inbox.messages == []
    assert counts(made)["hep_packets_dropped_total", "tls", "disconnected"] == 1


async def test_tls_of_old_is_refused(tmp_path: Path) -> None:
    assert HepConfig().tls_context().minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_certificate_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ValueError, match=r"tls_cert_file.*empty\.pem"):
        await handler(server="tls://127.0.0.1:1", tls_cert_file=str(tmp_path / "empty.pem")).start()


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
async def test_another_server_stands_in(scheme: str, tmp_path: Path) -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        servers = [f"{scheme}://127.0.0.1:{free_port()}", f"{scheme}://127.0.0.1:{listener.port}"]
        made = handler(data_dir=tmp_path, server=servers[0], also=servers[1:], mode="failover")
        await made.start()
        assert len(made._clients) == 1
        # Over UDP the first is lost: only then comes the word that nobody listens.
        for number in range(3):
            await made.handle([of_handle(IceState(ice="ready"), number)])
        await inbox.have(2 if scheme == "udp" else 3)
        await made.stop()


async def test_a_server_over_udp_stands_in_for_one_over_tcp(tmp_path: Path) -> None:
    """And is left when that one is back; nothing comes twice."""
    over_udp, over_tcp, port = Inbox(), Inbox(), free_port()
    async with HepListener(over_udp, port=0, tcp=False) as stand_in:
        made = handler(
            data_dir=tmp_path,
            server=f"tcp://127.0.0.1:{port}",
            also=[f"udp://127.0.0.1:{stand_in.port}"],
            mode="failover",
        )
        await made.start()
        (client,) = made._clients
        await until(lambda: client.tally.errors)
        await made.handle([of_handle(IceState(ice="ready"), 1)])
        await over_udp.have(1)
        async with HepListener(over_tcp, port=port, udp=False):
            await until(lambda: client.tally.connected)
            await made.handle([of_handle(IceState(ice="ready"), 2)])
            await over_tcp.have(1)
            await made.stop()
    assert (len(over_udp.messages), len(over_tcp.messages)) == (1, 1)
    sent = {key[1]: value for key, value in counts(made).items() if key[0] == "hep_packets_sent_total"}
    assert sent == {"udp": 1, "tcp": 1}


async def test_a_server_over_tcp_stands_in_for_one_over_udp(tmp_path: Path) -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0, udp=False) as stand_in:
        servers = [f"udp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{stand_in.port}"]
        made = handler(data_dir=tmp_path, server=servers[0], also=servers[1:], mode="failover")
        await made.start()
        for number in range(4):
            await made.handle([of_handle(IceState(ice="ready"), number)])
        # The first is lost: only then comes the word that nobody listens.
        await inbox.have(3)
        await made.stop()
    assert len(inbox.messages) == 3
    assert ("hep_packets_dropped_total", "tcp", "disconnected") not in counts(made)


async def test_with_every_kind_of_server_away_what_comes_waits_for_the_one_over_tcp(tmp_path: Path) -> None:
    port, inbox = free_port(), Inbox()
    servers = [f"udp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{port}"]
    made = handler(data_dir=tmp_path, server=servers[0], also=servers[1:], mode="failover")
    await made.start()
    for number in range(4):
        await made.handle([of_handle(IceState(ice="ready"), number)])
    async with HepListener(inbox, port=port, udp=False):
        await inbox.have(3)
        await made.stop()


def test_every_server_is_told_by_its_setting() -> None:
    config = HepConfig(server="udp://a:1", also=["tcp://b:2", "tls://c:3"], large_server="tcp://d:4")
    assert {name: str(endpoint) for name, endpoint in config.endpoints().items()} == {
        "server": "udp://a:1", "also[0]": "tcp://b:2", "also[1]": "tls://c:3", "large_server": "tcp://d:4",
    }  # fmt: skip


async def test_what_is_too_long_for_udp_goes_to_the_large_server_once() -> None:
    udp, tcp = Inbox(), Inbox()
    async with HepListener(udp, port=0, tcp=False) as small, HepListener(tcp, port=0, udp=False) as large:
        url = f"udp://127.0.0.1:{small.port}"
        made = handler(
            server=url, also=[url], large_server=f"tcp://127.0.0.1:{large.port}", udp_max_bytes=1400, events="jsep"
        )
        await made.start()
        await made.handle([of_handle(jsep("remote", "offer", "v=0\r\n" + "a=fmtp:1 x\r\n" * 200))])
        await tcp.have(1)
        await udp.have(1)
        await made.stop()
    assert len(tcp.messages[0].payload) > 2400
    assert b"X-Payload-Cut" in udp.messages[0].payload
    assert counts(made)["hep_datagrams_cut_total",] == 1


async def test_the_spool_is_in_the_data_directory_and_is_sent_by_the_next_run(tmp_path: Path) -> None:
    port, inbox, clock = free_port(), Inbox(), FakeClock()
    made = handler(clock, tmp_path, server=f"tcp://127.0.0.1:{port}", events="jsep")
    await made.start()
    await made.handle([of_handle(jsep("remote", "offer"))])
    await made.stop()
    seen = counts(made)
    assert ("hep_packets_dropped_total", "tcp", "disconnected") not in seen
    assert seen["hep_spool_packets", "tcp"] == 1
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["hep-1"]
    async with HepListener(inbox, port=port):
        again = handler(clock, tmp_path, server=f"tcp://127.0.0.1:{port}", events="jsep")
        await again.start()
        assert (await inbox.have(1))[0].payload.startswith(b"INVITE")
        await again.stop()
    assert counts(again)["hep_spool_bytes", "tcp"] == 0


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"also": ["homer"]}, "capture server 'homer': wanted udp://"),
        ({"large_server": "udp://127.0.0.1:9060"}, "large_server: 'udp://127.0.0.1:9060': wanted tcp://"),
        ({"udp_max_bytes": 100}, "udp_max_bytes: 100: wanted 1200 to 65507"),
        ({"spool_drain_per_s": 0}, "spool_drain_per_s: 0: wanted more than 0"),
    ],
)
async def test_wrong_settings_are_said(settings: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        handler(**settings)
