"""Goes through a capture once, and gives the events of every call in it, in the order of time."""

import struct
from typing import TYPE_CHECKING

from appliance.core.events import Body, Event, EventDecodeError, event
from appliance.intake.pcap.association import Association, Flow, Way
from appliance.intake.pcap.connections import Connections
from appliance.intake.pcap.key import TCP_MARK, ends_of, is_over_tcp, key_of, reversed_key
from appliance.intake.pcap.relayed import Relays
from appliance.intake.pcap.signalling import Signalling
from appliance.intake.pcap.stream import Stream
from appliance.intake.pcap.tally import Tally
from appliance.intake.pcap.tell import tell_associations
from appliance.intake.pcap.unwrap import MAX_TUNNELS, Unwrapper
from appliance.wire import rtcp, stun
from appliance.wire.capture import Segment, ip_packets
from appliance.wire.links import behind_vxlan
from appliance.wire.pcap import Skipped, Source

if TYPE_CHECKING:
    from appliance.intake.pcap.keys import KeyLog

MAX_WAYS = 100_000
MAX_ASSOCIATIONS = 20_000
MAX_EVENTS = 2_000_000
MAX_WAITING_STUN = 16
IDLE_US = 30_000_000
"""After such a silence other ICE user names on the same addresses are another call."""
MAX_BACK_US = 20_000
"""That a packet may be behind the one before it: as far as the queues of a network card mix them up."""
_TCP, _UDP = 6, 17
_HEAD = struct.Struct("!2xH2xHxB2x12sH").unpack_from
_RTP = struct.Struct("!xBHII").unpack_from


class OutOfOrderError(ValueError):
    """Packets are not in the order of time: to be read from a file in which they are."""


class CaptureReader:
    """:meth:`read` once; ``emitter`` is the server name that the events get, ``keys`` open SRTCP."""

    def __init__(self, emitter: str, keys: "KeyLog | None" = None) -> None:
        self._keys = keys
        self.tally = Tally(skipped=Skipped())
        self._emitter = emitter
        self._events: list[Event] = []
        self._ways: dict[bytes, Way] = {}
        self._associations: list[Association] = []
        self._by_ufrag: dict[str, Association] = {}
        self._by_ssrc: dict[tuple[int, tuple[str, int]], Association] = {}
        """Of a source, and where it sends to."""
        self._signalling = Signalling(self._tell)
        self._relays = Relays()
        self._unwrapper = Unwrapper(self.tally)
        self._tunnels = 0
        self._tcp = Connections(self._signalling, self.tally, self._hep, self._framed, keys)

    def read(self, data: Source) -> list[Event]:
        """Every event, ordered by time, without ids.

        :raises PcapDecodeError: it is no capture, or broken so that what follows can't be found.
        :raises OutOfOrderError: a packet is more than ``MAX_BACK_US`` behind the one before it.
        """
        ways, tally, skipped = self._ways, self.tally, self.tally.skipped
        packets = media = last_us = 0
        for timestamp_us, start, end in ip_packets(data, skipped):
            packets += 1
            if timestamp_us < last_us - MAX_BACK_US:
                raise OutOfOrderError(f"packet {packets} is {last_us - timestamp_us} µs behind the one before it")
            last_us = timestamp_us
            if data[start] != 0x45 or end - start < 28:
                self._slowly(timestamp_us, data, start, end)
                continue
            _, fragment, protocol, key, length = _HEAD(data, start)
            if protocol != _UDP or fragment & 0x3FFF:
                self._slowly(timestamp_us, data, start, end)
                continue
            way = ways.get(key)
            if way is not None and (association := way.association) is not None and end - start >= 40:
                if timestamp_us >= association.next_us:
                    association.tick(timestamp_us)
                at = start + 28
                if 127 < data[at] < 192:
                    kind, sequence, rtp_timestamp, ssrc = _RTP(data, at)
                    if not 191 < kind < 224:
                        stream = way.streams.get(ssrc)
                        if stream is None:
                            header = data[at : min(end, at + 128)]
                            stream = self._new_stream(timestamp_us, way, ssrc, kind & 0x7F, sequence, header)
                        if stream is not None:
                            stream.take(timestamp_us, sequence, rtp_timestamp, length - 8)
                        association.last_us = timestamp_us
                        media += 1
                        continue
            stop = min(end, start + 20 + length) if length >= 8 else end
            self._datagram(timestamp_us, key, data[start + 28 : stop], length - 8)
        tally.packets, tally.rtp = packets, tally.rtp + media
        return self._finish(last_us)

    def _finish(self, last_us: int) -> list[Event]:
        for source, found in self._unwrapper.rest():
            self._segment(last_us, source, found)
        self._signalling.flush()
        for association in self._associations:
            self.tally.left_out += association.left_out
            self.tally.copies += sum(stream.copies for stream in association.streams.values())
        tell_associations(self._associations, self._signalling, self._tell, last_us)
        self.tally.messages = self._signalling.messages
        self.tally.unreadable = self._signalling.unreadable
        self._events.sort(key=lambda item: item.timestamp)
        return self._events

    def _tell(
        self, timestamp_us: int, body: Body, session: int | None, handle: int | None, opaque_id: str | None
    ) -> None:
        if len(self._events) >= MAX_EVENTS:
            self.tally.left_out += 1
            return
        self._events.append(
            event(
                body,
                emitter=self._emitter,
                timestamp=timestamp_us,
                session_id=session,
                handle_id=handle,
                opaque_id=opaque_id,
            )
        )

    def _slowly(self, timestamp_us: int, data: Source, start: int, end: int) -> None:
        for source, found in self._unwrapper.open(data, start, end):
            self._segment(timestamp_us, source, found)

    def _segment(self, timestamp_us: int, data: Source, found: Segment) -> None:
        if found.protocol not in {_UDP, _TCP}:
            self.tally.other += 1
        elif found.end - found.start < 8:
            self.tally.malformed += 1
        else:
            key = found.addresses + data[found.start : found.start + 4]
            if found.protocol == _UDP:
                self._datagram(timestamp_us, key, data[found.start + 8 : found.end], found.length - 8)
            else:
                self._tcp.take(timestamp_us, key, data[found.start : found.end], found.length)

    # --- UDP -------------------------------------------------------------------------------------------------

    def _datagram(self, timestamp_us: int, key: bytes, data: bytes, length: int) -> None:
        if not data:
            return
        way = self._ways.get(key) or self._new_way(key)
        if way is None:
            return
        way.packets += 1
        association = way.association
        if association is not None and timestamp_us >= association.next_us:
            association.tick(timestamp_us)
        first = data[0]
        if stun.is_stun(data):
            self.tally.stun += 1
            if way.seen.again(timestamp_us, data):
                self.tally.copies += 1
            elif stun.is_binding(data):
                self._stun(timestamp_us, way, data, length)
            else:
                self._relayed(timestamp_us, key, data, length)
            return
        if data.startswith(b"HEP3"):
            self._hep(data)
        elif 63 < first < 80:
            self._relayed(timestamp_us, key, data, length)
        elif 19 < first < 64:
            self._dtls(timestamp_us, way, data)
        elif 127 < first < 192 and len(data) >= 8:
            self._rtp(timestamp_us, way, data, length)
        elif (inner := behind_vxlan(data)) is not None and self._tunnels < MAX_TUNNELS:
            self._tunnels += 1
            self._slowly(timestamp_us, data, inner, len(data))
            self._tunnels -= 1
        else:
            self.tally.other += 1
        if way.association is not None:
            way.association.last_us = timestamp_us

    def _framed(self, timestamp_us: int, key: bytes, data: bytes, length: int) -> None:
        self.tally.framed += 1
        self._datagram(timestamp_us, key + TCP_MARK, data, length)

    def _relayed(self, timestamp_us: int, key: bytes, data: bytes, length: int) -> None:
        found = self._relays.open(key, data, length)
        if found is None:
            self.tally.other += not stun.is_stun(data)
        else:
            self.tally.relayed += 1
            inner = found[1]
            # What is relayed twice nobody sends, but for who wants a reader to lose itself in it.
            if inner[0] > 79 or 19 < inner[0] < 64 or stun.is_binding(inner):
                self._datagram(timestamp_us, *found)

    def _new_way(self, key: bytes) -> Way | None:
        if len(self._ways) >= MAX_WAYS:
            idle = [name for name, way in self._ways.items() if way.association is None]
            for name in idle:
                del self._ways[name]
            if not idle:
                self.tally.left_out += 1
                return None
        source, destination = ends_of(key)
        flow = Flow(source, destination, is_tcp=is_over_tcp(key))
        self._ways[key], self._ways[reversed_key(key)] = flow.ways
        return flow.ways[0]

    def _associate(self, timestamp_us: int, way: Way) -> Association | None:
        if len(self._associations) >= MAX_ASSOCIATIONS:
            self.tally.left_out += 1
            return None
        association = Association(timestamp_us)
        association.adopt(way.flow)
        self._associations.append(association)
        return association

    def _stun(self, timestamp_us: int, way: Way, data: bytes, length: int) -> None:
        try:
            message = stun.parse(data)
        except stun.StunDecodeError:
            if len(data) >= length:
                self.tally.malformed += 1
                return
            # Whose it is often stands in what the capture has left of it.
            message = stun.parse_cut(data)
            if message.username is None and way.association is not None:
                way.requests += message.message_class is stun.Class.REQUEST
        if message.message_class is stun.Class.REQUEST:
            self._asked(timestamp_us, way, message)
        elif message.message_class is stun.Class.SUCCESS:
            way.responses += 1
            if message.transaction_id in way.flow.nominating and way.flow.nominated_us is None:
                way.flow.nominated_us = timestamp_us
                if way.association is not None:
                    way.association.selected.append((timestamp_us, way.flow))
                    way.association.count(timestamp_us)
        elif message.message_class is stun.Class.ERROR:
            code = message.error_code
            way.bad += code is not None and code[0] in {400, 401}
        if way.association is not None:
            way.association.last_us = timestamp_us

    def _asked(self, timestamp_us: int, way: Way, message: stun.StunMessage) -> None:
        name = message.username
        if name is None or ":" not in name:
            return
        theirs, _, own = name.partition(":")
        association = way.association
        if association is not None and own not in association.ends and self._is_another(timestamp_us, own, association):
            for each in way.flow.ways:
                self._ways.pop(key_of(each), None)
            flow = Flow(way.source, way.other.source, is_tcp=way.flow.is_tcp)
            self._ways[key_of(flow.ways[0])], self._ways[key_of(flow.ways[1])] = flow.ways
            way, association = flow.ways[0], None
        if association is None:
            association = self._by_ufrag.get(own) or self._by_ufrag.get(theirs)
            if association is None or (own not in association.ends and theirs not in association.ends):
                association = self._associate(timestamp_us, way)
            else:
                association.adopt(way.flow)
            if association is None:
                return
        end = association.ends.get(own)
        if end is None:
            end = 1 - association.ends[theirs] if theirs in association.ends else way.end
        way.end, way.other.end = end, 1 - end
        for ufrag, whose in ((own, end), (theirs, 1 - end)):
            association.name(ufrag, whose)
            self._by_ufrag[ufrag] = association
        association.stun_us = association.stun_us or timestamp_us
        way.requests += 1
        if message.controlling is not None:
            association.controlling = end
        elif association.controlling is None and message.controlled is not None:
            # Where one end is never heard, the other's word has to do.
            association.controlling = 1 - end
        if message.use_candidate and len(way.flow.nominating) < MAX_WAITING_STUN:
            way.flow.nominating.add(message.transaction_id)

    def _is_another(self, timestamp_us: int, ufrag: str, association: Association) -> bool:
        """Whether new user names on known addresses are a new call, and no restart."""
        told = self._signalling.ufrags.get(ufrag)
        if told is not None:
            before = [self._signalling.ufrags[name][0] for name in association.ends if name in self._signalling.ufrags]
            return bool(before) and told[0] not in before
        return timestamp_us - association.last_us > IDLE_US

    def _dtls(self, timestamp_us: int, way: Way, data: bytes) -> None:
        if data[1:2] != b"\xfe" or len(data) < 13:
            self.tally.other += 1
            return
        association = way.association or self._associate(timestamp_us, way)
        if association is None:
            return
        self.tally.dtls += 1
        # A flight that is sent again has other record numbers.
        if association.seen.again(timestamp_us, data, way.end, within_us=timestamp_us):
            self.tally.copies += 1
        else:
            association.handshake.take(timestamp_us, way.end, data)

    def _rtp(self, timestamp_us: int, way: Way, data: bytes, length: int) -> None:
        if 191 < data[1] < 224:
            self._rtcp(timestamp_us, way, data, length)
            return
        if len(data) < 12:
            self.tally.malformed += 1
            return
        kind, sequence, rtp_timestamp, ssrc = _RTP(data, 0)
        association = way.association
        if association is None:
            if not way.believe(ssrc, sequence):
                return
            association = self._associate(timestamp_us, way)
            if association is None:
                return
        stream = way.streams.get(ssrc)
        if stream is None:
            stream = self._new_stream(timestamp_us, way, ssrc, kind & 0x7F, sequence, data[:128])
        if stream is not None:
            stream.take(timestamp_us, sequence, rtp_timestamp, length)
        self.tally.rtp += 1

    def _new_stream(
        self, timestamp_us: int, way: Way, ssrc: int, payload_type: int, sequence: int, header: bytes
    ) -> Stream | None:
        association = way.association
        assert association is not None
        known = self._by_ssrc.get((ssrc, way.other.source))
        if known is not None and known is not association and known.absorb(association, way, ssrc):
            # ICE began anew on another address of the client's, with the media going on.
            self._associations.remove(association)
            self._by_ufrag.update(dict.fromkeys(association.ends, known))
            association = known
        elif len(self._by_ssrc) < MAX_WAYS:
            self._by_ssrc[ssrc, way.other.source] = association
        return association.stream(way, ssrc, payload_type, sequence, header, timestamp_us)

    def _rtcp(self, timestamp_us: int, way: Way, data: bytes, length: int) -> None:
        self.tally.rtcp += 1
        association = way.association
        if association is None:
            return
        if association.seen.again(timestamp_us, data, way.end):
            self.tally.copies += 1
            return
        if association.handshake.first_us is not None or len(data) < length:
            plain = association.open_rtcp(way.end, data, self._keys) if self._keys and len(data) == length else None
            if plain is None:
                association.srtcp[way.end] += 1
                return
            self.tally.opened += 1
            data = plain
        try:
            for packet in rtcp.parse_compound(data):
                association.report(timestamp_us, way.end, packet)
        except rtcp.RtcpDecodeError:
            association.srtcp[way.end] += 1

    def _hep(self, data: bytes) -> None:
        self.tally.hep += 1
        try:
            # HEP's layout is slow to import, and few captures have any.
            from appliance.intake.pcap import hep_events

            for item in hep_events.read(data):
                if len(self._events) < MAX_EVENTS:
                    self._events.append(item)
        except EventDecodeError:
            self.tally.malformed += 1
