"""What other programs read in what the handler sends for a recorded call."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from scapy.all import IP, UDP, rdpcap
from scapy.error import Scapy_Exception
from scapy.utils import RawPcapWriter

from appliance.core.events import Connection, DtlsState, EndOfCandidates, Jsep, Plugin, RemoteCandidate
from appliance.hep.listen import inner_packet
from appliance.hep.message import HepMessage, decode
from tests.handlers.hep_calls import api_events, call_with_reports, jsep, mapper, of_handle, play, trace, verdict
from tests.handlers.test_hep_handler import handler
from tests.hep.test_message import as_hep_js
from tests.peers.janus import free_port
from tests.programs import need

HEP_JS = "hep-js@1.0.22"
DECODE = """
const hep = require(process.argv[1]);
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\\n');
console.log(JSON.stringify(lines.map(line => hep.decapsulate(Buffer.from(line, 'hex')))));
"""


def packets() -> list[bytes]:
    target = mapper()
    return [message.render() for message in [*play(target, call_with_reports()), *target.flush()]]


@pytest.fixture(scope="session")
def hep_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package from the npm registry."""
    npm = need("npm", "node")
    folder = tmp_path_factory.mktemp("hep-js")
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", HEP_JS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    if done.returncode:
        message = f"npm did not give {HEP_JS}: {done.stderr.strip()[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder / "node_modules" / "hep-js"


@pytest.mark.interop
def test_hep_js_reads_the_same_values(hep_js: Path) -> None:
    sent = packets()
    command = [need("node"), "-e", DECODE, str(hep_js)]
    text = "\n".join(packet.hex() for packet in sent)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=True)
    read = json.loads(done.stdout)
    assert len(read) == len(sent)
    assert {one["rcinfo"]["payloadType"] for one in read} == {1, 5, 100}
    for packet, theirs in zip(sent, read, strict=True):
        ours = decode(packet)
        assert theirs["rcinfo"] == as_hep_js(ours)
        assert theirs["payload"].encode() == ours.payload


def queued_bytes(port: int) -> list[int]:
    """Bytes that wait in each UDP socket of a port."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return [int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(f":{port:04X}")]


def packets_in(path: Path) -> list[Any]:
    """Of a capture that is still written."""
    try:
        return list(rdpcap(str(path)))
    except (OSError, Scapy_Exception, EOFError):
        return []


async def until(condition: Callable[[], bool]) -> None:
    """Another process can't be awaited, only asked."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.005)


async def sngrep_reads(port: int, target: Path, wanted: int) -> list[Any]:
    """Send the call to sngrep, and read what it unwraps."""
    program = need("sngrep")
    process = await asyncio.create_subprocess_exec(
        program, "-L", f"udp:127.0.0.1:{port}", "-N", "-O", str(target),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until(lambda: bool(queued_bytes(port)))
        made = handler(server=f"udp://127.0.0.1:{port}")
        await made.start()
        for item in call_with_reports():
            await made.handle([item])
            # As fast as it reads: its socket buffer is small.
            await until(lambda: not any(queued_bytes(port)))
        await made.stop()
        await until(lambda: not any(queued_bytes(port)))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
    assert len(packets_in(target)) >= wanted
    return packets_in(target)


@pytest.mark.interop
async def test_sngrep_unwraps_the_same_packets(tmp_path: Path) -> None:
    told = [message for message in map(decode, packets()) if message.payload_type == 1]
    inner = await sngrep_reads(free_port(), tmp_path / "out.pcap", len(told))
    seen = [(packet, bytes(packet[UDP].payload)) for packet in inner]
    for message in told:
        packet = next(packet for packet, payload in seen if payload == message.payload)
        assert (packet[IP].src, packet[UDP].sport) == (str(message.src), message.src_port)
        assert (packet[IP].dst, packet[UDP].dport) == (str(message.dst), message.dst_port)
        assert round(float(packet.time) * 1e6) == message.timestamp_us


def write_pcap(path: Path, messages: Iterable[HepMessage]) -> None:
    with RawPcapWriter(str(path), linktype=101) as writer:
        writer.write_header(None)
        for message in messages:
            seconds, micros = divmod(message.timestamp_us, 1_000_000)
            writer.write_packet(inner_packet(message), sec=seconds, usec=micros)


def dissected(folder: Path, messages: list[HepMessage]) -> list[dict[str, Any]]:
    """Each message's layers as tshark has them; nothing is malformed, and only the unknown X- headers are remarked."""
    write_pcap(folder / "inner.pcap", messages)
    checks = ("-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    command = [need("tshark"), "-r", str(folder / "inner.pcap"), *checks, "-T", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "_ws.malformed" not in done.stdout
    remarks = re.findall(r'"_ws.expert.message": "([^"]*)"', done.stdout)
    assert all(remark.startswith("Unrecognised SIP header (x-") for remark in remarks), remarks
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


RAW_SIP = """INVITE sip:bob@203.0.113.9 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK-1;rport
Max-Forwards: 70
From: <sip:ann@192.0.2.7>;tag=1
To: <sip:bob@203.0.113.9>
Call-ID: sip-call-7
CSeq: 1 INVITE
Contact: <sip:ann@192.0.2.7:5062>
Content-Length: 0

""".replace("\n", "\r\n")


@pytest.mark.interop
def test_tshark_dissects_trickle_restarts_and_a_sip_plugins_own_messages(tmp_path: Path) -> None:
    told = [item.event.jsep.sdp for item in trace("aiortc_echo") if isinstance(item.event, Jsep)]
    offer, answer = told[0], told[1]
    restart = re.sub("(a=ice-ufrag:)\\S+", r"\1Other", offer)
    bodies = [
        jsep("remote", "offer", offer),
        jsep("local", "answer", answer),
        RemoteCandidate(candidate="7 1 udp 2122260223 2001:db8::7 50007 typ host generation 0 ufrag abcd"),
        RemoteCandidate(candidate="candidate:8 1 tcp 1518280447 192.0.2.8 9 typ host tcptype active"),
        EndOfCandidates(),
        DtlsState(dtls="connected"),
        jsep("remote", "offer", offer),
        jsep("local", "answer", answer),
        jsep("remote", "offer", restart),
        jsep("local", "offer", answer),
        Plugin(plugin="janus.plugin.sip", data={"event": "sip-out", "sip": RAW_SIP}),
        Plugin(plugin="janus.plugin.sip", data={"event": "sip-in", "sip": RAW_SIP.replace("INVITE", "OPTIONS")}),
        verdict(),
        Connection(connection="hangup", reason="ICE failed"),
    ]
    target = mapper()
    events = [*api_events(), *(of_handle(body, number) for number, body in enumerate(bodies, 1))]
    sent = [outgoing.message for outgoing in [*play(target, events), *target.flush()]]
    messages = [message for message in sent if message.payload_type == 1]
    layers = dissected(tmp_path, messages)
    methods = [packet["sip"]["sip.msg_hdr_tree"]["sip.CSeq_tree"]["sip.CSeq.method"] for packet in layers]
    assert methods == [
        "INVITE", "INVITE", "INFO", "INFO", "INFO", "INFO", "INVITE", "INVITE", "INVITE", "INVITE", "INVITE", "OPTIONS",
        "BYE",
    ]  # fmt: skip
    assert {packet["sip"]["sip.msg_hdr_tree"]["sip.Call-ID"] for packet in layers[10:12]} == {"sip-call-7"}
    assert messages[10].payload.decode() == RAW_SIP
    stacks = [packet["frame"]["frame.protocols"] for packet in layers]
    assert stacks[0] == stacks[1] == stacks[6] == stacks[8] == "raw:ip:udp:sip:sdp"
    subjects = [packet["sip"]["sip.msg_hdr_tree"].get("sip.Subject") for packet in layers]
    assert subjects[2:9] == [
        "trickled candidate", "trickled candidate", "end of candidates", "DTLS connected", "renegotiation", None,
        "ICE restart",
    ]  # fmt: skip
    assert "fingerprint_mismatch" in layers[-1]["sip"]["sip.msg_hdr_tree"]["sip.Reason"]


@pytest.mark.interop
def test_tshark_dissects_sip_without_a_complaint(tmp_path: Path) -> None:
    """The inner packets as ``appliance listen --pcap`` writes them."""
    told = [message for message in map(decode, packets()) if message.payload_type == 1]
    layers = dissected(tmp_path, told)
    assert len(layers) == len(told) == 5
    for packet, message in zip(layers, told, strict=True):
        assert packet["sip"]["sip.msg_hdr_tree"]["sip.Call-ID"] == message.correlation_id
        assert (packet["ip"]["ip.src"], packet["ip"]["ip.dst"]) == (str(message.src), str(message.dst))
        assert (packet["udp"]["udp.srcport"], packet["udp"]["udp.dstport"]) == (
            str(message.src_port),
            str(message.dst_port),
        )
        assert packet["udp"]["udp.checksum.status"] == packet["ip"]["ip.checksum.status"] == "1", "good"
    methods = [packet["sip"]["sip.msg_hdr_tree"]["sip.CSeq_tree"]["sip.CSeq.method"] for packet in layers]
    assert methods == ["INVITE", "INVITE", "INFO", "INFO", "BYE"]
    stacks = [packet["frame"]["frame.protocols"] for packet in layers]
    assert stacks == ["raw:ip:udp:sip:sdp", "raw:ip:udp:sip:sdp", *["raw:ip:udp:sip"] * 3]


def kamailio_configuration(folder: Path, port: int) -> Path:
    """What Kamailio is to do, with its own port, table and modules."""
    database = next(Path("/usr/lib").glob("*/kamailio/modules/db_sqlite.so"), None)
    if database is None:
        pytest.skip("not installed: kamailio-sqlite-modules (tests/programs.sh installs it)")
    text = (Path(__file__).parent.parent / "peers" / "kamailio-sipcapture.cfg").read_text()
    text = text.replace("__PORT__", str(port)).replace("__DATABASE__", f"{folder}/hep.db")
    written = folder / "kamailio.cfg"
    written.write_text(text.replace("/usr/lib/x86_64-linux-gnu/kamailio/modules", str(database.parent)))
    return written


@pytest.mark.interop
async def test_kamailio_reads_the_same_values(tmp_path: Path) -> None:
    """Homer 5's receiver, sipcapture: every chunk that it can read, and the payload by its digest."""
    program, port = need("kamailio"), free_port()
    configuration = kamailio_configuration(tmp_path, port)
    log = tmp_path / "log"
    sent = packets()
    with log.open("wb") as output, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        process = await asyncio.create_subprocess_exec(
            program, "-f", str(configuration), "-DD", "-E", "-Y", str(tmp_path),
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            await until(lambda: bool(queued_bytes(port)))
            for packet in sent:
                client.sendto(packet, ("127.0.0.1", port))
                await until(lambda: not any(queued_bytes(port)))
            await until(lambda: log.read_bytes().count(b">: HEP ") >= len(sent))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
    read = re.findall(rb">: HEP ([^\n]+)", log.read_bytes())
    assert [line.decode().split() for line in read] == [as_kamailio(decode(packet)) for packet in sent]


def as_kamailio(message: HepMessage) -> list[str]:
    """What the script in ``kamailio-sipcapture.cfg`` writes."""
    seconds, micros = divmod(message.timestamp_us, 1_000_000)
    numbers = (
        message.payload_type, message.src, message.src_port, message.dst, message.dst_port, seconds, micros,
        message.agent_id, message.correlation_id, hashlib.md5(message.payload).hexdigest(),
    )  # fmt: skip
    return [str(number) for number in numbers]
