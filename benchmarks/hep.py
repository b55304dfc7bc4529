"""HEP: building, sending and reading messages, each beside its peer in the same run.

Building: an ICE event's message, payload ready, by template and by construct, which is the declaration that the
template is generated from. Sending: the event encoded, rendered and sent over UDP to a socket that reads nothing, over
the floor of any sender: the same JSON, one join, one send. Reading: this decoder, construct's parse, and hep-js.

Rows of one comparison take turns in short rounds, and the best round counts: the machine may be shared.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from msgspec.structs import replace

from appliance.core.events import Event, IceState, Jsep, MediaStats, SessionDescription, event
from appliance.handlers.hep.log_json import record
from appliance.handlers.hep.mapping import HepMapper
from appliance.handlers.hep.outgoing import MapperConfig
from appliance.hep import layout
from appliance.hep.client import UdpClient
from appliance.hep.endpoint import Endpoint
from appliance.hep.message import decode
from appliance.hep.template import HepTemplate, chunks_of
from benchmarks import hep_transport
from benchmarks.figures import Figure, table

ROUNDS = 60
HEP_JS = "hep-js@1.0.22"
HEP_JS_LOOP = """
const hep = require(process.argv[1]), packet = Buffer.from(process.argv[2], 'hex');
let best = Infinity;
for (let round = 0; round < 20; round++) {
  const began = process.hrtime.bigint();
  for (let i = 0; i < 2000; i++) if (!hep.decapsulate(packet)) throw new Error('refused');
  best = Math.min(best, Number(process.hrtime.bigint() - began) / 2000 / 1000);
}
console.log(best);
"""

Timed = dict[str, tuple[Callable[[], object], int]]


def best_us(rows: Timed) -> dict[str, float]:
    """Microseconds a call, of the best round; each row is a function and how often to call it in a round."""
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, (function, times) in rows.items():
            began = time.perf_counter()
            for _ in range(times):
                function()
            best[name] = min(best[name], (time.perf_counter() - began) / times * 1e6)
    return best


def ice_event() -> Event:
    return event(
        IceState(ice="connected"),
        emitter="gw-1",
        timestamp=1_795_227_419_104_859,
        session_id=6720542861340463,
        handle_id=3145832598425959,
        opaque_id="opaque-echo",
    )


def template() -> HepTemplate:
    return HepTemplate(
        src=ip_address("198.51.100.20"),
        dst=ip_address("203.0.113.5"),
        src_port=10000,
        dst_port=50000,
        agent_id=2001,
        node_name="gw-1",
        correlation_id="6720542861340463-3145832598425959-1@gw-1",
    )


def building() -> list[Figure]:
    made, item = template(), ice_event()
    payload = record(item)
    tree = {"content": {"chunks": chunks_of(made.message(item.timestamp, 100, payload))}}
    packet = made.render(item.timestamp, 100, payload)
    assert layout.Packet.build(tree) == packet
    took = best_us({
        "template": (lambda: made.render(item.timestamp, 100, payload), 1000),
        "construct": (lambda: layout.Packet.build(tree), 6),
    })  # fmt: skip
    return [
        Figure("HEP: build an ICE event's message, construct / template", took["construct"] / took["template"], "x",
               ">= 100", f"{took['template']:.2f} µs and {took['construct']:.0f} µs"),
    ]  # fmt: skip


def statistics_event() -> Event:
    stats = MediaStats(
        mid="1", media="video", base=90_000, rtt=12, lost=3, lost_by_remote=1, jitter_local=4, jitter_remote=6,
        packets_received=40_312, packets_sent=40_001, bytes_received=38_201_177, bytes_sent=37_911_002, nacks_sent=4,
    )  # fmt: skip
    return replace(ice_event(), type=stats.type, subtype=stats.subtype, event=stats)


def sdp_event() -> Event:
    lines = [f"a=rtpmap:{number} VP8/90000\r\na=rtcp-fb:{number} nack pli\r\n" for number in range(96, 128)]
    sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + "".join(lines)
    body = Jsep(owner="remote", jsep=SessionDescription("offer", sdp))
    return replace(ice_event(), type=body.type, subtype=body.subtype, event=body)


def sending() -> list[Figure]:
    """Of an ICE event, of statistics and of a description."""
    words = {"an ICE event": ice_event(), "statistics": statistics_event(), "a description": sdp_event()}
    return [figure for name, item in words.items() for figure in _sending(name, item)]


def _sending(name: str, item: Event) -> list[Figure]:
    made = template()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        client = UdpClient(Endpoint("udp", "127.0.0.1", sink.getsockname()[1]))
        client._addresses = [(socket.AF_INET, sink.getsockname())]
        client._open(0)
        assert client._socket is not None
        send, head = client._socket.send, bytes(len(made.render(item.timestamp, 100, b"")))
        mapper = HepMapper(MapperConfig(agent_id=2001, node_name="gw-1", api_address=ip_address("127.0.0.1")))

        def ours() -> None:
            client.send(made.render(item.timestamp, 100, record(item)), 100)

        def floor() -> None:
            send(b"".join((head, record(item))))

        def mapped() -> None:
            for message in mapper.take(item, 0.0):
                client.send(message.render(), message.payload_type)

        took = best_us({"ours": (ours, 400), "floor": (floor, 400), "mapped": (mapped, 400)})
        client._socket.close()
    return [
        Figure(f"HEP: encode and send {name} over UDP / floor", took["ours"] / took["floor"], "x", "<= 1.3",
               f"{took['ours']:.2f} µs and {took['floor']:.2f} µs"),
        Figure(f"HEP: {name} through the whole mapping and out", took["mapped"], "µs"),
    ]  # fmt: skip


def reading() -> list[Figure]:
    item = ice_event()
    packet = template().render(item.timestamp, 100, record(item))
    took = best_us({
        "ours": (lambda: decode(packet), 300),
        "construct": (lambda: layout.Packet.parse(packet), 6),
    })  # fmt: skip
    note = f"construct {took['construct']:.0f} µs"
    theirs = hep_js_us(packet)
    note += f", hep-js {theirs:.1f} µs" if theirs else ", hep-js not there"
    return [Figure("HEP: decode a message", took["ours"], "µs", "<= 10", note)]


def hep_js_us(packet: bytes) -> float | None:
    """hep-js's time for the same packet; ``None`` where npm can't be had."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        install = [npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", HEP_JS]
        if subprocess.run(install, capture_output=True, timeout=120, check=False).returncode:
            print(f"npm did not give {HEP_JS}", file=sys.stderr)
            return None
        package = str(Path(folder) / "node_modules" / "hep-js")
        done = subprocess.run(
            [node, "-e", HEP_JS_LOOP, package, packet.hex()], capture_output=True, timeout=120, check=True
        )
    return float(json.loads(done.stdout))


def main() -> list[Figure]:
    """Every figure."""
    return [*building(), *sending(), *reading(), *hep_transport.main()]


if __name__ == "__main__":
    print(table(main()))
