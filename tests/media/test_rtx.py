"""Retransmissions apart (RFC 4588), both ways."""

import pytest
from aiortc.rtp import RtpPacket, unwrap_rtx, wrap_rtx

from appliance.core.events import MediaStats
from appliance.media.rtx import repeated
from appliance.media.stats import media_stats
from appliance.wire import rtcp, twcc
from appliance.wire.rtp import RtpHeader
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle
from tests.media.test_twcc import numbered

RTX = {
    "video": [
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        f"a=extmap:3 {twcc.EXTENSION}",
        "a=rtcp-fb:96 transport-cc",
    ]
}
RTX_SSRC = 7000


def rtx_client(call: Call, *, declared: bool) -> tuple[Client, Handle]:
    """A client whose m-line lists the payload type; the SSRC group only where ``declared``."""
    more = [f"a=ssrc-group:FID 1001 {RTX_SSRC}", f"a=ssrc:{RTX_SSRC} cname:client"] if declared else []
    return call(extra={"video": [*RTX["video"], *more]}, formats={"video": " 97"})


def stats(handle: Handle) -> MediaStats:
    return next(item for item in media_stats(handle.peer.lines, None) if item.media == "video")


def send_again(client: Client, number: int, *, rtx_number: int, payload: bytes) -> None:
    original = number.to_bytes(2, "big")
    client.send_rtp("video", rtx_number, 3000 * number, original + payload, ssrc=RTX_SSRC, payload_type=97)


async def test_what_a_client_lost_comes_as_a_stream_of_its_own(call: Call, clock: FakeClock) -> None:
    client, handle = rtx_client(call, declared=True)
    answer = client.answer
    assert answer is not None
    group = answer.media[1].ssrc_groups[0]
    assert (group.semantics, group.ssrcs[0]) == ("FID", client.ssrc_of("video"))
    for number in range(10):
        client.send_rtp("video", number, 3000 * number, bytes([number]) * 30, extension=numbered(number))
    client.pump()
    first = client.packets[0][0]
    lost, payload = client.packets[4]
    client.packets.clear()
    nack = rtcp.Nack(sender_ssrc=1, media_ssrc=first.ssrc, lost=(lost.sequence_number,) * 100)
    client.send_rtcp(nack)
    client.pump()
    # Once, however often one NACK asks.
    ((header, again),) = client.packets
    assert (header.ssrc, header.payload_type, header.timestamp) == (group.ssrcs[1], 97, lost.timestamp)
    assert again == lost.sequence_number.to_bytes(2, "big") + payload
    # Under a transport-wide number of its own, the next after the ten.
    assert (int.from_bytes(header.extension[1:3], "big") - int.from_bytes(first.extension[1:3], "big")) == 10
    clock.advance(0.05)
    client.send_rtcp(nack)
    client.pump()
    assert (client.packets[1][0].sequence_number - header.sequence_number) & 0xFFFF == 1
    assert stats(handle).retransmissions_sent == 2
    assert stats(handle).packets_sent == 10


@pytest.mark.parametrize("declared", [True, False])
async def test_what_a_client_sends_again_is_put_back(call: Call, clock: FakeClock, declared: bool) -> None:
    client, handle = rtx_client(call, declared=declared)
    for number in range(10):
        if number not in {4, 6}:
            client.send_rtp("video", number, 3000 * number, bytes([number]) * 30)
    client.pump()
    clock.advance(0.01)
    client.pump()
    assert [report.lost for report in client.reports if isinstance(report, rtcp.Nack)] == [(4, 6)]
    send_again(client, 6, rtx_number=500, payload=b"\6" * 30)
    send_again(client, 4, rtx_number=501, payload=b"\4" * 30)
    # Probes: what came already, and padding alone.
    send_again(client, 5, rtx_number=502, payload=b"\5" * 30)
    client.send_rtp("video", 503, 0, b"", ssrc=RTX_SSRC, payload_type=97)
    client.pump()
    echoed = {header.sequence_number: (header, payload) for header, payload in client.packets}
    assert len(client.packets) == 10
    assert sorted(payload[0] for _, payload in client.packets) == list(range(10))
    assert {header.ssrc for header, _ in echoed.values()} == {client.ssrc_of("video")}
    told = stats(handle)
    assert (told.packets_received, told.lost, told.retransmissions_received) == (10, 0, 2)
    assert len(handle.peer.path.streams) == 1
    repairs = handle.peer.path.repairs
    assert (repairs.received, repairs.restored, repairs.unneeded) == (4, 2, 2)


async def test_without_agreement_packets_are_sent_again_as_they_were(call: Call) -> None:
    client, _ = call()
    client.send_rtp("video", 1, 3000)
    client.pump()
    header = client.packets[0][0]
    again: list[bytes] = []

    def watch(data: bytes) -> bool:
        again.append(data)
        return True

    client.listener = watch
    client.send_rtcp(rtcp.Nack(sender_ssrc=1, media_ssrc=header.ssrc, lost=(header.sequence_number,)))
    client.pump()
    assert int.from_bytes(again[0][8:12], "big") == header.ssrc


def test_aiortc_makes_and_reads_the_same() -> None:
    plain = RtpHeader(96, 4711, 90_000, 1, marker=True, extension_profile=0xBEDE, extension=b"\x10\x80\0\0").build()
    packet = RtpPacket.parse(plain + b"payload")
    ours = repeated(plain + b"payload", payload_type=97, sequence=9, ssrc=2)
    theirs = wrap_rtx(packet, payload_type=97, sequence_number=9, ssrc=2)
    assert RtpPacket.parse(bytes(ours)).payload == theirs.payload
    restored = unwrap_rtx(RtpPacket.parse(bytes(ours)), payload_type=96, ssrc=1)
    assert (restored.sequence_number, restored.timestamp, restored.marker) == (4711, 90_000, 1)
    assert restored.payload == b"payload"
