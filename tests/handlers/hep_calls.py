"""Calls to map: what real Janus servers sent, and events made by hand."""

import json
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.core.correlation import Correlator
from appliance.core.events import (
    VERDICT_SCHEMA,
    Body,
    CandidateAddress,
    Connection,
    Event,
    External,
    Handle,
    Jsep,
    PairAddresses,
    ReportBlock,
    RtcpReport,
    SelectedPair,
    SenderInfo,
    Session,
    SessionDescription,
    Transport,
    TransportRef,
    event,
    from_janus,
)
from appliance.handlers.hep.mapping import HepMapper
from appliance.handlers.hep.outgoing import MapperConfig, Outgoing
from appliance.hep.message import HepMessage
from tests.hep.strict import Stored, receive, sip_headers

TRACES = Path(__file__).parent.parent / "data" / "janus-1.4"
CASES = sorted(path.stem for path in TRACES.glob("*.jsonl") if "." not in path.stem)

SESSION, HANDLE = 6720542861340463, 3145832598425959
HANGUP = Connection(connection="hangup", reason="DTLS alert")
CALL = f"{SESSION}-{HANDLE}-1@gw-1"
T0 = 1_795_227_418_870_119


def trace(case: str) -> list[Event]:
    """A recorded case, as the collector hands it on."""
    correlator = Correlator()
    found: list[Event] = []
    for line in (TRACES / f"{case}.jsonl").read_text("utf-8").splitlines():
        for item in from_janus(json.loads(line)["event"]):
            found.append(replace(item, id=len(found) + 1, correlation_id=correlator.of(item)))
    return found


def mapper(**changes: Any) -> HepMapper:
    fields: dict[str, Any] = {"agent_id": 2001, "node_name": "collector", "api_address": ip_address("127.0.0.1")}
    return HepMapper(MapperConfig(**fields | changes))


def of_handle(body: Body, after_ms: int = 0, **changes: Any) -> Event:
    """An event of the one call."""
    item = event(body, emitter="gw-1", timestamp=T0 + after_ms * 1000, session_id=SESSION, handle_id=HANDLE)
    return replace(item, **{"id": after_ms + 1, "correlation_id": CALL} | changes)


def api_events(
    ip: str | None = "192.0.2.10", transport: str = "janus.transport.websockets", **data: Any
) -> list[Event]:
    """Connected, session created, handle attached."""
    connected = Transport(transport=transport, id="77", data={"event": "connected", "ip": ip, **data})
    created = Session(name="created", transport=TransportRef(transport=transport, id="77"))
    return [
        event(connected, emitter="gw-1", timestamp=T0),
        event(created, emitter="gw-1", timestamp=T0, session_id=SESSION),
        of_handle(Handle(name="attached", plugin="janus.plugin.echotest")),
    ]


def jsep(owner: str, kind: str, sdp: str = "v=0\r\n") -> Jsep:
    return Jsep(owner=owner, jsep=SessionDescription(kind, sdp))


def pair(local: str = "198.51.100.20", remote: str = "203.0.113.5") -> SelectedPair:
    ends = PairAddresses(CandidateAddress(local, 10000, "host"), CandidateAddress(remote, 50000, "srflx"))
    return SelectedPair(pair="x", candidates=ends)


def verdict(code: str = "fingerprint_mismatch", *, final: bool = True, severity: str = "fault") -> External:
    data = {
        "code": code,
        "sentence": 'The "certificate" is not the one in the SDP.',
        "final": final,
        "severity": severity,
    }
    return External(schema=VERDICT_SCHEMA, data=data)


def play(target: HepMapper, events: Iterable[Event], now: float = 0.0) -> list[Outgoing]:
    return [message for item in events for message in target.take(item, now)]


def stored(messages: Iterable[Outgoing]) -> list[Stored]:
    """What a strict capture server keeps, equal to what was meant."""
    rows = []
    for outgoing in messages:
        row, message = receive(outgoing.render()), outgoing.message
        assert as_row(message) == row
        rows.append(row)
    return rows


def as_row(message: HepMessage) -> Stored:
    return Stored(
        str(message.src),
        str(message.dst),
        message.src_port,
        message.dst_port,
        message.protocol,
        message.timestamp_us,
        message.payload_type,
        message.correlation_id or "",
        message.node_name or "",
        message.payload.decode(),
    )


def sip(messages: Iterable[Outgoing]) -> list[dict[str, Any]]:
    """The headers of those of type 1."""
    return [sip_headers(row.payload) for row in stored(messages) if row.payload_type == 1]


def call() -> list[Event]:
    """An offer, an answer and a pair, with nothing of its end."""
    return [
        *api_events(port=40000, local_ip="198.51.100.20", local_port=8188),
        of_handle(jsep("remote", "offer"), 1),
        of_handle(jsep("local", "answer"), 2),
        of_handle(pair(), 3),
    ]


def call_with_reports() -> list[Event]:
    """The recorded call of aiortc, with the RTCP reports that Janus does not tell of."""
    events = trace("aiortc_echo")
    middle = next(at for at, item in enumerate(events) if item.type == 32 and item.subtype == 3)
    block = ReportBlock(305419896, 12, -7, 65999, 31, 3735928559, 65536)
    sender = SenderInfo(3897000000, 2147483648, 2881450, 990, 158400)
    reports = [
        RtcpReport(direction="in", packet_type=200, ssrc=3735928559, mid="0", sender_info=sender, blocks=(block,)),
        RtcpReport(direction="out", packet_type=201, ssrc=7, mid="0", blocks=(block, block)),
    ]
    about = events[middle]
    return [*events[:middle], *(replace(about, subtype=4, event=report) for report in reports), *events[middle:]]
