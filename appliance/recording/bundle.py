"""One recorded call as a zip file: what is in it, and how it is made and opened. Bytes and values; no clock.

| name | holds |
|---|---|
| ``manifest.json`` | what it is of, what made it, and what is in it |
| ``events.jsonl`` | every event of the call, a JSON object a line |
| ``explanation.json`` | verdict, evidence, phases and tracks, as they were when the bundle was made |
| ``statistics.jsonl`` | the media statistics among the events |
| ``webrtc-stats.jsonl`` | the same and the pairs' by the W3C's names (:mod:`appliance.core.webrtc_stats`) |
| ``sdp/1-remote-offer.sdp``, ... | the descriptions, in order |
| ``api.jsonl`` | the messages of the Janus API |
| ``wire.pcapng`` | the packets as they were on the wire |
| ``plain.pcapng`` | RTP headers and RTCP, decrypted |
| ``keys.log`` | an SSLKEYLOGFILE, where keys are kept |
"""

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import IO, Any, Protocol

import msgspec

from appliance.core.events import Event, Jsep, MediaStats, encode_json
from appliance.core.webrtc_stats import stats_of
from appliance.recording.parts import Datagram, Parts, Plain
from appliance.wire import pcapng_writer
from appliance.wire.pcap import ip_packet

SCHEMA = "appliance.recording/1"
MANIFEST, EVENTS, EXPLANATION = "manifest.json", "events.jsonl", "explanation.json"
STATISTICS, WEBRTC_STATS, API, KEYS = "statistics.jsonl", "webrtc-stats.jsonl", "api.jsonl", "keys.log"
WIRE, PLAIN = "wire.pcapng", "plain.pcapng"
MAX_MEMBER = 512 * 2**20
"""Bytes of one file in a bundle that is opened."""
MAX_MEMBERS = 10_000
_UNKNOWN = (("10.1.1.1", 1000), ("10.2.2.2", 2000))
"""Theirs and ours, where there was no pair: as Janus's captures have it."""
_STUN_HEADER = 20
_MID = re.compile(r"(?m)^a=mid:(\S{1,32})")
_SSRC = re.compile(r"(?m)^a=ssrc:(\d{1,10})\b")


class BundleError(ValueError):
    """It is no bundle, or one that can't be read; says why."""


class Masks(Protocol):
    """Hides who was in the call; :class:`appliance.handlers.hep.masking.Masker` is one."""

    def event(self, item: Event) -> Event:
        """The same event, masked."""

    def address(self, text: str) -> str:
        """What stands for an address."""

    def value(self, value: Any) -> Any:
        """The same JSON, masked."""


def write_bundle(
    file: IO[bytes],
    *,
    events: Sequence[Event],
    explanation: object,
    parts: Parts | None,
    about: dict[str, Any],
    masks: Masks | None = None,
) -> None:
    """Write it. ``about`` goes into the manifest.

    :raises OSError: it can't be written.
    """
    shown = list(events) if masks is None else [masks.event(item) for item in events]
    names: list[str] = []

    def put(name: str, content: bytes) -> None:
        archive.writestr(name, content)
        names.append(name)

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        put(EVENTS, _lines(encode_json(item) for item in shown))
        put(EXPLANATION, msgspec.json.encode(explanation))
        put(STATISTICS, _lines(encode_json(item) for item in shown if isinstance(item.event, MediaStats)))
        put(WEBRTC_STATS, _lines(msgspec.json.encode(one) for item in shown for one in stats_of(item)))
        for number, item in enumerate([item for item in shown if isinstance(item.event, Jsep)], 1):
            body = item.event
            assert isinstance(body, Jsep)
            kind = body.jsep.type if body.jsep.type in {"offer", "answer"} else "other"
            owner = body.owner if body.owner in {"local", "remote"} else "other"
            put(f"sdp/{number}-{owner}-{kind}.sdp", body.jsep.sdp.encode("utf-8", "replace"))
        if parts is not None:
            _put_parts(put, parts, about, masks, tracks_of(events))
        manifest = {"schema": SCHEMA, **about, "masked": masks is not None, "files": names}
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def tracks_of(events: Iterable[Event]) -> dict[int, str]:
    """What each SSRC of the descriptions carries, for people."""
    found: dict[int, str] = {}
    for item in events:
        if isinstance(item.event, Jsep):
            who = "from the client" if item.event.owner == "remote" else "to the client"
            for section in item.event.jsep.sdp.split("\nm=")[1:]:
                mid = _MID.search(section)
                name = f"{section.split(None, 1)[0][:16]} mid {mid[1] if mid else '?'} {who}"
                found |= {int(ssrc): name for ssrc in _SSRC.findall(section)[:64]}
    return found


def _put_parts(put: Any, parts: Parts, about: dict[str, Any], masks: Masks | None, tracks: dict[int, str]) -> None:
    messages = (
        {"timestamp": said.timestamp_us, "from": "client" if said.incoming else "gateway", "message": said.message}
        for said in parts.messages
    )
    plain = messages if masks is None else (one | {"message": masks.value(one["message"])} for one in messages)
    put(API, _lines(msgspec.json.encode(one) for one in plain))
    key_log = "".join(f"{line}\n" for line in parts.keys)
    comment = f"call {about.get('correlation_id', '')}"
    put(WIRE, _capture(parts.wire, masks, tracks, comment, key_log))
    put(PLAIN, _headers(parts.plain, _ends(parts.wire), masks, tracks, comment))
    if key_log:
        put(KEYS, key_log.encode("ascii"))


def _lines(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _masked(end: tuple[str, int], masks: Masks | None) -> tuple[str, int]:
    return end if masks is None else (masks.address(end[0]), end[1])


def _capture(
    wire: Iterable[Datagram], masks: Masks | None, tracks: dict[int, str], comment: str, key_log: str
) -> bytes:
    made = io.BytesIO()
    made.write(pcapng_writer.header(comment=comment, interface="wire"))
    if key_log:
        made.write(pcapng_writer.secrets(key_log))
    named: set[int] = set()
    for entry in wire:
        local, remote = _masked(entry.local, masks), _masked(entry.remote, masks)
        ends = (remote, local) if entry.incoming else (local, remote)
        # STUN and SDP in DTLS's place name addresses and users in their attributes.
        hides = masks is not None and bool(entry.data) and entry.data[0] < 4
        cut = max(0, len(entry.data) - _STUN_HEADER) if hides else 0
        _add(made, entry.timestamp_us, ends, entry.data, cut, _track(entry.data, tracks, named, comment))
    return made.getvalue()


def _headers(
    plain: Iterable[Plain],
    ends: tuple[tuple[str, int], tuple[str, int]],
    masks: Masks | None,
    tracks: dict[int, str],
    comment: str,
) -> bytes:
    made = io.BytesIO()
    made.write(pcapng_writer.header(comment=f"{comment}, decrypted", interface="plain"))
    remote, local = (_masked(end, masks) for end in ends)
    named: set[int] = set()
    for entry in plain:
        way = (remote, local) if entry.incoming else (local, remote)
        cut = max(0, entry.length - len(entry.data))
        data = entry.data + bytes(cut)
        _add(made, entry.timestamp_us, way, data, cut, _track(entry.data, tracks, named, comment))
    return made.getvalue()


def _add(
    made: io.BytesIO, at_us: int, ends: tuple[tuple[str, int], tuple[str, int]], data: bytes, cut: int, comment: str
) -> None:
    try:
        packet = ip_packet(*ends, data)
    except (OSError, ValueError):
        # A candidate may have a name instead of an address.
        packet = ip_packet(*_UNKNOWN, data)
    made.write(pcapng_writer.packet(at_us, packet, cut=cut, comment=comment))


def _ends(wire: Sequence[Datagram]) -> tuple[tuple[str, int], tuple[str, int]]:
    """Theirs and ours: of the last media, since those took the selected pair."""
    for entry in reversed(wire):
        if entry.data and 127 < entry.data[0] < 192:
            return entry.remote, entry.local
    return _UNKNOWN


def _track(data: bytes, tracks: dict[int, str], named: set[int], comment: str) -> str:
    """Names handle and track at the first packet of each stream."""
    if len(data) < 12 or not 127 < data[0] < 192 or 191 < data[1] < 224:
        return ""
    ssrc = int.from_bytes(data[8:12], "big")
    if ssrc in named or len(named) > 1000:
        return ""
    named.add(ssrc)
    return f"{comment}, {tracks.get(ssrc, 'track unknown')}, SSRC {ssrc}"


# --- opening ---------------------------------------------------------------------------------------------------------


class OpenBundle:
    """A bundle to read from. :raises BundleError: it is none."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
            self.names = frozenset(self._archive.namelist()[:MAX_MEMBERS])
            self.manifest: dict[str, Any] = msgspec.json.decode(self.read(MANIFEST))
        except (zipfile.BadZipFile, msgspec.MsgspecError, NotImplementedError, UnicodeDecodeError) as problem:
            raise BundleError(f"no bundle: {problem}") from None
        if not isinstance(self.manifest, dict) or self.manifest.get("schema") != SCHEMA:
            raise BundleError(f"{MANIFEST} has another schema, wanted {SCHEMA}")

    def read(self, name: str) -> bytes:
        """One file of it. :raises BundleError: it is not there, too large, or broken."""
        try:
            with self._archive.open(name) as member:
                # The size in the directory may lie.
                data = member.read(MAX_MEMBER + 1)
        except KeyError:
            raise BundleError(f"no {name} in it") from None
        except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, NotImplementedError) as problem:
            raise BundleError(f"{name} in it can't be read: {problem}") from None
        if len(data) > MAX_MEMBER:
            raise BundleError(f"{name} in it has more than {MAX_MEMBER} bytes")
        return data
