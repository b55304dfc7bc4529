"""Who listens to simulcast hears one stream, whatever happens to its encodings."""

from itertools import pairwise

from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.rtp import RtpPacket

from appliance.core.peer import Listener
from tests.clock import FakeClock
from tests.media.conftest import Call
from tests.media.test_selection import Camera, assert_continuous
from tests.media.test_simulcast import SSRCS, simulcast

Packets = list[RtpPacket]


def check(packets: Packets) -> None:
    """One stream, of pictures that join on to each other."""
    assert [packet.sequence_number for packet in packets] == [
        (packets[0].sequence_number + index) & 0xFFFF for index in range(len(packets))
    ]
    assert len({packet.ssrc for packet in packets}) == 1
    shown = [VpxPayloadDescriptor.parse(packet.payload)[0].picture_id or 0 for packet in packets]
    assert {(after - before) & 0x7FFF for before, after in pairwise(shown)} == {0, 1}
    stamps = [(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in pairwise(packets)]
    assert max(stamps) < 90_000


def hearer(packets: Packets) -> Listener:
    return lambda packet: packets.append(RtpPacket.parse(bytes(packet)))


def is_key(packet: RtpPacket) -> bool:
    return bool(packet.payload[6:7] == b"\x10")


async def test_the_highest_encoding_and_what_stands_in_for_it_are_one_stream(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    packets: Packets = []
    handle.peer.listen("1", lambda packet: packets.append(RtpPacket.parse(bytes(packet))))
    camera = Camera(client, clock)
    camera.frames_of(10)
    assert is_key(packets[0])
    assert packets[-1].ssrc == SSRCS["h"]
    before = len(packets)
    camera.frames_of(30, "lm")
    assert len(packets) > before + 10
    assert is_key(packets[before])
    camera.frames_of(30)
    check(packets)
    # What goes back to the client is not disturbed by what is heard beside it.
    assert_continuous(client)


async def test_another_listener_takes_over_in_the_middle(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    first: Packets = []
    second: Packets = []
    camera = Camera(client, clock)
    handle.peer.listen("1", lambda packet: first.append(RtpPacket.parse(bytes(packet))))
    camera.frames_of(10)
    handle.peer.listen("1", lambda packet: second.append(RtpPacket.parse(bytes(packet))))
    camera.frames_of(10)
    assert first
    assert second
    check([*first, *second])
    handle.peer.listen("1", None)
    before = len(second)
    camera.frames_of(10)
    assert len(second) == before


async def test_without_simulcast_it_hears_what_comes(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    packets: Packets = []
    handle.peer.listen("1", lambda packet: packets.append(RtpPacket.parse(bytes(packet))))
    for sequence in (7, 9, 8):
        client.send_rtp("video", sequence, 3000 * sequence, b"\x10\x11picture")
    client.pump()
    assert [packet.sequence_number for packet in packets] == [7, 9, 8]


async def test_one_encoding_is_heard_as_it_comes(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    heard: dict[int, Packets] = {0: [], 2: []}
    for substream, packets in heard.items():
        handle.peer.listen("1", hearer(packets), substream=substream)
    camera = Camera(client, clock)
    camera.frames_of(10)
    assert {packet.ssrc for packet in heard[0]} == {SSRCS["l"]}
    assert {packet.ssrc for packet in heard[2]} == {SSRCS["h"]}
    before = [len(packets) for packets in heard.values()]
    assert min(before) >= 10
    handle.peer.listen("1", None, substream=2)
    camera.frames_of(10)
    assert len(heard[0]) > before[0]
    assert len(heard[2]) == before[1]
