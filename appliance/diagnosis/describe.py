"""An event in one line of plain words: for the evidence on a call's page, and for those who watch the stream."""

from collections.abc import Callable
from typing import Any

from appliance.core import events as e
from appliance.core.events.session import NETTEST_SCHEMA
from appliance.diagnosis.descriptions import fingerprints_match

SIDES = {"remote": "the client", "local": "the server"}
ICE_WORDS = {
    "gathering": "ICE: the server gathers its candidates",
    "connecting": "ICE: connectivity checks begin",
    "connected": "ICE: connected",
    "ready": "ICE: ready",
    "disconnected": "ICE: nothing is heard of the client any more",
    "failed": "ICE: failed",
}
DTLS_WORDS = {
    "trying": "DTLS: handshake begins",
    "connected": "DTLS: handshake done",
    "failed": "DTLS: handshake failed",
}
MAX_LENGTH = 300


def describe_event(item: e.Event) -> str:
    """One line, at most :data:`MAX_LENGTH` characters, no control characters; never raises."""
    words = _WORDS.get(type(item.event))
    text = words(item.event) if words is not None else f"an event of type {item.type}"
    if item.inferred:
        text = f"{text} (no event told it: the Admin API did)"
    line = "".join(char if char.isprintable() else " " for char in text[: 2 * MAX_LENGTH]).strip()
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 1] + "…"


def _session(body: e.Session) -> str:
    words = {
        "created": "Session created",
        "destroyed": "Session destroyed",
        "timeout": "Session timed out: no keep-alive came",
    }
    text = words.get(body.name, f"Session {body.name}")
    return f"{text} over {body.transport.transport}" if body.transport is not None else text


def _handle(body: e.Handle) -> str:
    words = {"attached": "Handle attached to", "detached": "Handle detached from"}
    return f"{words.get(body.name, f'Handle {body.name}')} {body.plugin}"


def _external(body: e.External) -> str:
    if body.schema == e.VERDICT_SCHEMA:
        return f"Verdict: {body.data.get('code', '?')}: {body.data.get('sentence', '')}"
    if body.schema == e.CALL_SCHEMA:
        return f"Call record: {body.data.get('code', '?')}"
    if body.schema == NETTEST_SCHEMA:
        return f"Network test, by the browser: {body.data.get('sentence', '')}"
    return f"External event {body.schema}"


def _jsep(body: e.Jsep) -> str:
    lines = body.jsep.sdp.count("\nm=") + body.jsep.sdp.startswith("m=")
    article = {"offer": "An offer", "answer": "An answer"}.get(body.jsep.type, f"A description ({body.jsep.type})")
    return f"{article} from {SIDES.get(body.owner, body.owner)}, {lines} media line{'' if lines == 1 else 's'}"


def _ice(body: e.IceState) -> str:
    return ICE_WORDS.get(body.ice, f"ICE: {body.ice}")


def _candidate(whose: str, text: str) -> str:
    words = text.removeprefix("candidate:").split()
    if len(words) < 8:
        return f"{whose} candidate: {text}"
    return f"{whose} candidate: {words[4]}:{words[5]} ({words[7]}, {words[2].lower()})"


def _pair_counters(body: e.PairCounters) -> str:
    def total(name: str) -> int:
        return sum(getattr(pair, name) for pair in body.pairs)

    return (
        f"STUN on {len(body.pairs)} pair{'' if len(body.pairs) == 1 else 's'}: we asked {total('requests_sent')} times,"
        f" {total('responses_received')} answered; the client asked {total('requests_received')} times,"
        f" we answered {total('responses_sent')}"
    )


def _dtls_state(body: e.DtlsState) -> str:
    text = DTLS_WORDS.get(body.dtls, f"DTLS: {body.dtls}")
    return f"{text}, {body.retransmissions} flights sent again" if body.retransmissions else text


def _dtls_detail(body: e.DtlsDetail) -> str:
    parts = [f"DTLS: we are {body.role}"]
    if body.version:
        parts.append(body.version)
    if body.cipher:
        parts.append(body.cipher)
    if body.srtp_profile:
        parts.append(body.srtp_profile)
    if body.alert is not None:
        parts.append(f"{body.alert.level} alert {body.alert.direction}: {body.alert.name} ({body.alert.code})")
    if body.fingerprint_expected and body.fingerprint_received:
        same = fingerprints_match(body.fingerprint_expected, body.fingerprint_received)
        parts.append("fingerprint not the one announced" if same is False else "fingerprint as announced")
    if body.first_fragment_seen is False:
        parts.append("the first fragment of the ClientHello never came")
    parts.append(f"{sum(body.records_received.values())} records received, {sum(body.records_sent.values())} sent")
    return ", ".join(parts)


def _connection(body: e.Connection) -> str:
    if body.connection == "webrtcup":
        return "The PeerConnection is up"
    return f"Hangup: {body.reason}" if body.reason else f"PeerConnection: {body.connection}"


def _media_state(body: e.MediaState) -> str:
    what = f"{body.media}{f' (mid {body.mid})' if body.mid is not None else ''}"
    if body.receiving:
        return f"The client's {what} arrives"
    return f"The client's {what} has not arrived for {body.seconds or 1} s"


def _slow_link(body: e.SlowLink) -> str:
    # Janus's words are from its own side; people's are not.
    way = {"uplink": "to the client", "downlink": "from the client"}.get(body.slow_link, body.slow_link)
    lost = f": {body.lost_lastsec} packets" if body.lost_lastsec is not None else ""
    return f"Loss on the way {way}, {body.media or 'media'}{lost}"


def _media_stats(body: e.MediaStats) -> str:
    parts = [f"{body.media} (mid {body.mid})" if body.mid is not None else body.media]
    if body.packets_received is not None:
        parts.append(f"{body.packets_received} received")
    if body.packets_sent is not None:
        parts.append(f"{body.packets_sent} sent")
    if body.lost is not None:
        parts.append(f"{body.lost} lost on the way to us")
    if body.lost_by_remote is not None and body.has_reports is not False:
        parts.append(f"{body.lost_by_remote} lost on the way to the client")
    if body.jitter_local is not None and body.packets_received:
        # Of none that came, Janus says 0.
        parts.append(f"jitter {body.jitter_local} ms")
    if body.rtt:
        parts.append(f"round trip {body.rtt} ms")
    return "Statistics of " + ", ".join(parts)


def _rtcp_report(body: e.RtcpReport) -> str:
    kind = {200: "Sender report", 201: "Receiver report"}.get(body.packet_type, f"RTCP {body.packet_type}")
    way = "from the client" if body.direction == "in" else "to the client"
    worst = max((block.fraction_lost for block in body.blocks), default=None)
    return f"{kind} {way}" + (f", {100 * worst / 256:.1f} % lost" if worst is not None else "")


def _transport(body: e.Transport) -> str:
    what, ip = body.data.get("event"), body.data.get("ip")
    return f"API over {body.transport}: {what}" + (f" from {ip}" if isinstance(ip, str) else "")


def _gap(body: e.Gap) -> str:
    number = sum(body.dropped.values())
    return f"{number or 'An unknown number of'} events are missing here ({body.reason})"


_WORDS: dict[type, Callable[[Any], str]] = {
    e.Session: _session,
    e.Handle: _handle,
    e.External: _external,
    e.Jsep: _jsep,
    e.IceState: _ice,
    e.LocalCandidate: lambda body: _candidate("Server's", body.candidate),
    e.RemoteCandidate: lambda body: _candidate("Client's", body.candidate),
    e.SelectedPair: lambda body: f"Pair in use: {body.pair}",
    e.PairCounters: _pair_counters,
    e.DtlsState: _dtls_state,
    e.DtlsDetail: _dtls_detail,
    e.EndOfCandidates: lambda body: f"The client has no more candidates ({body.count} came)",
    e.Connection: _connection,
    e.MediaState: _media_state,
    e.SlowLink: _slow_link,
    e.MediaStats: _media_stats,
    e.RtcpReport: _rtcp_report,
    e.MediaFault: lambda body: f"{body.count} packets of the client's refused: {body.kind}",
    e.Plugin: lambda body: f"{body.plugin}: {body.data.get('event', 'state')}",
    e.Transport: _transport,
    e.Core: lambda body: f"Server {body.status}",
    e.Shutdown: lambda body: "Server shuts down",
    e.Gap: _gap,
    e.Counters: lambda body: f"{len(body.counters)} counters of the gateway",
    e.ApiError: lambda body: f"Request {body.request} refused: {body.code} {body.reason}",
    e.Unknown: lambda body: f"Unknown event: {', '.join(list(body.content)[:8])}",
}
