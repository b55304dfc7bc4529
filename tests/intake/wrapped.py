"""Captures of calls over UDP, as they would be had their packets gone another way: over TCP, or through a TURN server.

Whole files in and out, with raw IP in those that come out. TURN's messages are aioice's.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from socket import inet_aton
from typing import NamedTuple

from aioice import stun

from tests.intake.test_replay import records

FILE_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
TURN_CLIENT, TURN_SERVER = ("10.9.9.9", 50_000), ("192.0.2.77", 3478)
CHANNEL = 0x4001

Address = tuple[str, int]


class Packet(NamedTuple):
    """One datagram of UDP, or a packet of anything else as it was, in ``raw``."""

    head: bytes
    """Both numbers of its time."""
    source: Address
    destination: Address
    payload: bytes
    raw: bytes


def packets(data: bytes) -> Iterator[Packet]:
    """Of a capture of IPv4 with Ethernet frames or raw."""
    start = {1: 14, 101: 0}[int.from_bytes(data[20:24], "little")]
    for head, frame in records(data):
        packet = frame[start:]
        size = 4 * (packet[0] & 15)
        ports = struct.unpack_from("!HH", packet, size)
        ends = [".".join(map(str, packet[at : at + 4])) for at in (12, 16)]
        payload = packet[size + 8 :] if packet[9] == 17 else b""
        yield Packet(head[:8], (ends[0], ports[0]), (ends[1], ports[1]), payload, packet)


def record(head: bytes, packet: bytes, *, snap: int = 65_535) -> bytes:
    kept = packet[:snap]
    return head + struct.pack("<II", len(kept), len(packet)) + kept


def ip4(source: Address, destination: Address, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return head + inet_aton(source[0]) + inet_aton(destination[0]) + payload


def udp(source: Address, destination: Address, payload: bytes) -> bytes:
    return ip4(source, destination, 17, struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload)


def tcp(source: Address, destination: Address, sequence: int, payload: bytes, flags: int = 0x18) -> bytes:
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], sequence % 2**32, 0, 0x50, flags, 65_535, 0, 0)
    return ip4(source, destination, 6, head + payload)


class Connections:
    """Gives each direction its sequence numbers; they wrap on the way."""

    def __init__(self) -> None:
        self._next: dict[tuple[Address, Address], int] = defaultdict(lambda: 2**32 - 5_000)

    def segment(self, source: Address, destination: Address, payload: bytes) -> bytes:
        sequence = self._next[source, destination]
        self._next[source, destination] = sequence + len(payload)
        return tcp(source, destination, sequence, payload)


def over_tcp(data: bytes, *, joined: int = 1, cut_at: int = 65_535) -> list[bytes]:
    """Records with every datagram in a frame; so many in a segment, of so many bytes at most."""
    connections, out = Connections(), []
    waiting: dict[tuple[Address, Address], list[bytes]] = defaultdict(list)
    for packet in packets(data):
        if not packet.payload:
            out.append(record(packet.head, packet.raw))
            continue
        way = packet.source, packet.destination
        waiting[way].append(struct.pack("!H", len(packet.payload)) + packet.payload)
        if len(waiting[way]) >= joined or packet.payload[0] < 64:
            stream = b"".join(waiting.pop(way))
            pieces = [stream[at : at + cut_at] for at in range(0, len(stream), cut_at)]
            out += [record(packet.head, connections.segment(*way, piece)) for piece in pieces]
    return out


def through_turn(data: bytes, client: Address, *, channel: bool, is_tcp: bool) -> list[bytes]:
    """Records as they are between the TURN server and its client, who got the address that ``client`` was; first what
    the two agree on.
    """
    connections, out = Connections(), []
    bound: set[Address] = set()

    def sent(head: bytes, message: bytes, *, to_server: bool) -> None:
        ends = (TURN_CLIENT, TURN_SERVER) if to_server else (TURN_SERVER, TURN_CLIENT)
        made = connections.segment(*ends, message) if is_tcp else udp(*ends, message)
        out.append(record(head, made))

    def message(method: stun.Method, kind: stun.Class, **attributes: object) -> bytes:
        made = stun.Message(message_method=method, message_class=kind, transaction_id=b"t" * 12)
        made.attributes.update({name.replace("_", "-"): value for name, value in attributes.items()})
        return bytes(made)

    for packet in packets(data):
        if not packet.payload or client not in (packet.source, packet.destination):
            out.append(record(packet.head, packet.raw))
            continue
        if not bound:
            sent(packet.head, message(stun.Method.ALLOCATE, stun.Class.REQUEST, LIFETIME=600), to_server=True)
            answer = message(stun.Method.ALLOCATE, stun.Class.RESPONSE, XOR_RELAYED_ADDRESS=client, LIFETIME=600)
            sent(packet.head, answer, to_server=False)
        to_server = packet.source == client
        peer = packet.destination if to_server else packet.source
        if peer not in bound:
            bound.add(peer)
            number = CHANNEL + len(bound)
            bind = message(stun.Method.CHANNEL_BIND, stun.Class.REQUEST, XOR_PEER_ADDRESS=peer, CHANNEL_NUMBER=number)
            sent(packet.head, bind, to_server=True)
        if channel:
            padding = bytes(-len(packet.payload) & 3) if is_tcp else b""
            head = struct.pack("!HH", number, len(packet.payload))
            sent(packet.head, head + packet.payload + padding, to_server=to_server)
        else:
            method = stun.Method.SEND if to_server else stun.Method.DATA
            inner = message(method, stun.Class.INDICATION, XOR_PEER_ADDRESS=peer, DATA=packet.payload)
            sent(packet.head, inner, to_server=to_server)
    return out
