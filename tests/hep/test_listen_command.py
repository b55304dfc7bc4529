"""``appliance listen`` on real sockets, in this process and as the command."""

import asyncio
import json
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.all import IP, UDP, rdpcap

from appliance.commands.listen import Listening, listen_and_show
from appliance.hep.client import make_client
from appliance.hep.listener import HepListener
from tests.hep.captured import captured, sample
from tests.hep.certificates import certificate
from tests.hep.inbox import Inbox
from tests.hep.test_delivery import packet
from tests.hep.until import until


class Running:
    """A listener that shows what it gets, and what it showed."""

    def __init__(self) -> None:
        self.listeners: Sequence[HepListener] = []
        self.text = ""
        self.notes: list[str] = []
        self.broken = False
        self.started = asyncio.Event()
        self.done = asyncio.Event()

    def begin(self, listeners: Sequence[HepListener]) -> None:
        self.listeners = listeners
        self.started.set()

    def say(self, text: str) -> None:
        if self.broken:
            raise BrokenPipeError
        self.text += text

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def send_udp(self, *data: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for one in data:
                client.sendto(one, ("127.0.0.1", self.listeners[0].port))


@asynccontextmanager
async def listening(**asked: Any) -> AsyncIterator[Running]:
    running = Running()
    task = asyncio.create_task(
        listen_and_show(
            Listening(port=0, tls_port=0, **asked),
            say=running.say, note=running.notes.append, until=running.done, started=running.begin,
        )
    )  # fmt: skip
    async with asyncio.timeout(10):
        started = asyncio.create_task(running.started.wait())
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            started.cancel()
            await task
        yield running
        running.done.set()
        await task


@pytest.mark.parametrize("as_json", [True, False])
async def test_shows_what_comes(as_json: bool, tmp_path: Path) -> None:
    pcap = tmp_path / "inner.pcap"
    async with listening(as_json=as_json, pcap=pcap) as running:
        running.send_udp(*(one.data for one in captured() if one.name.startswith("hep_js")), b"noise")
        await until(lambda: len(running.lines) == 6)
    inner = rdpcap(str(pcap))
    assert len(inner) == 6
    assert float(inner[0].time) == 1_795_227_418.870119
    assert IP(bytes(inner[0]))[UDP].dport == 8188
    if as_json:
        assert json.loads(running.lines[0])["correlation_id"] == "6720542861340463-3145832598425959-1@edge-1"
    else:
        assert running.lines[0].endswith("INVITE sip:echotest@edge-1 SIP/2.0")
    assert (
        running.notes[-1]
        == "decoded: 1 of type 1, 1 of type 5, 1 of type 34, 2 of type 100, 1 of type 101; malformed: 1"
    )


async def test_a_ladder_of_one_type() -> None:
    async with listening(ladder=True, types=["sip"]) as running:
        running.send_udp(*(one.data for one in captured() if one.name.startswith("hep_js")))
        await until(lambda: len(running.lines) >= 4)
    assert [line.strip()[:1] for line in running.lines] == ["", "─", "1", "+"]
    assert "─ INVITE sip:echotest@edge-1 ─" in running.text


async def test_ends_when_nobody_reads_its_lines() -> None:
    async with listening() as running:
        running.broken = True
        running.send_udp(sample("log"))
        async with asyncio.timeout(5):
            await running.done.wait()


async def test_hep_over_tls(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "homer")
    async with listening(tls_cert=pem, tls_key=key) as running:
        trust = ssl.create_default_context(cafile=str(pem))
        client = make_client(f"tls://127.0.0.1:{running.listeners[1].port}", tls=trust)
        await client.start()
        client.send(sample("log"), 100)
        await until(lambda: running.lines)
        await client.stop()
    assert running.listeners[1].tally.packets["tls"] == 1
    assert "and TLS 127.0.0.1:" in running.notes[0]


async def test_a_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing")
    with pytest.raises(OSError, match=r"cert\.pem: no certificate with its key"):
        async with listening(tls_cert=tmp_path / "cert.pem"):
            pass


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_sends_on_what_passes_the_filter_as_it_came(scheme: str) -> None:
    inbox = Inbox()
    wanted = [one.data for one in captured() if one.name.startswith("hep_js") and one.data[0:4] == b"HEP3"]
    async with HepListener(inbox, port=0) as further:
        url = f"{scheme}://127.0.0.1:{further.port}"
        async with listening(forward=url, types=["log"]) as running:
            running.send_udp(*wanted)
            await inbox.have(2)
            assert further.packet in wanted
    assert {message.payload_type for message in inbox.messages} == {100}
    assert running.notes[-1] == "sent on: 2; lost: none"


async def test_sends_on_over_tls_to_a_server_of_its_own_authority_that_wants_a_certificate(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "homer.example")
    ours, our_key = certificate(tmp_path, "appliance")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem, key)
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.load_verify_locations(ours)
    inbox = Inbox()
    async with (
        HepListener(inbox, port=0, udp=False, tls=server_side) as further,
        listening(
            forward=f"tls://127.0.0.1:{further.port}",
            forward_ca=pem,
            forward_cert=ours,
            forward_key=our_key,
            forward_server_name="homer.example",
        ) as running,
    ):
        running.send_udp(sample("log"))
        await inbox.have(1)
    assert running.notes[-1] == "sent on: 1; lost: none"


async def test_a_slow_further_server_holds_up_those_who_send_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is lost: 4000 packets on their way to a server that comes late, while 100 may wait here."""
    monkeypatch.setattr("appliance.commands.listen.CROWDED", 100)
    inbox = Inbox()
    async with HepListener(inbox, port=0) as further, listening(forward=f"tcp://127.0.0.1:{further.port}") as running:
        further.hold(back=True)
        client = make_client(f"tcp://127.0.0.1:{running.listeners[0].port}")
        await client.start()
        for number in range(4000):
            client.send(packet(number), 100)
        await until(lambda: running.listeners[0].tally.packets["tcp"] > 100)
        further.hold(back=False)
        await until(lambda: len(inbox.messages) == 4000)
        await client.stop()
    assert [int(message.payload) for message in inbox.messages] == list(range(4000))
    assert running.notes[-1] == "sent on: 4000; lost: none"


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"forward": "homer"}, "capture server 'homer': wanted udp://"),
        ({"types": ["sop"]}, "type 'sop': wanted 0 to 255"),
        ({"tls_key": Path("key.pem")}, "--tls-key: wanted --tls-cert"),
        ({"forward": "tcp://homer:9061", "forward_ca": Path("ca.pem")}, "--forward-ca, .*: wanted --forward tls://"),
        ({"forward": "tls://homer:9061", "forward_ca": Path("no.pem")}, r"no\.pem: No such file"),
        ({"ladder": True, "as_json": True}, "--ladder, --json: wanted one of them"),
    ],
)
def test_wrong_options_are_said(asked: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        Listening(**asked)


async def test_the_command_ends_by_a_signal_and_sums_up(tmp_path: Path) -> None:
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from appliance.cli import main; main()",
        "listen", "--port", "0", "--type", "log", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stderr is not None
    async with asyncio.timeout(20):
        first = (await command.stderr.readline()).decode()
        port = int(first.partition("127.0.0.1:")[2].partition(";")[0])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sample("invite") + sample("log"))
        line = json.loads(await command.stdout.readline())
        command.send_signal(signal.SIGINT)
        rest = (await command.stderr.read()).decode()
        assert await command.wait() == 0
        writer.close()
    assert line["payload_type"] == 100
    assert rest == "decoded: 1 of type 1, 1 of type 100; malformed: 0\n"
