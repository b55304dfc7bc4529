"""Field by field, what a statistics event says of a call and what the client itself counted, once all has come to rest.

What each side counts, where that differs: our bytes are RTP headers and payload, without SRTP's tag, as Janus counts
them; Chromium has the two apart. Our NACKs are packets asked for, as Janus's are; Chromium's are messages. Chromium
counts repetitions and the padding it probes with among the packets and bytes of their stream; we count a repetition as
the packet that it repeats, and padding not at all.
"""

from collections import Counter
from typing import Any

import pytest
from playwright.async_api import Page

from appliance.core.events import MediaStats
from tests.interop.echo_page import call, decoded, until
from tests.media.harness import Handle
from tests.peers.relay import Relay, relay

pytestmark = pytest.mark.interop

REST = """
async () => {
  for (const sender of pc.getSenders()) {
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) encoding.active = false;
    await sender.setParameters(parameters);
  }
}
"""
Both = dict[str, tuple[MediaStats, dict[str, Any]]]


async def at_rest(page: Page, handle: Handle, way: Relay) -> Both:
    """Our statistics and the client's of each medium, when nothing is on its way and all reports have come."""
    await page.evaluate(REST)
    lines = dict(zip(("audio", "video"), handle.peer.lines, strict=True))
    before = Counter[int]()

    def is_at_rest(client: dict[str, Any]) -> bool:
        nonlocal before
        now = way.carried_in + way.carried_out + way.dropped_in + way.dropped_out
        moved, before = now != before, now
        stats = {kind: line.stats() for kind, line in lines.items()}
        return not moved and all(
            stats[kind].lost_by_remote == client[f"inbound-rtp {kind}"]["packetsLost"]
            and stats[kind].lost == client[f"remote-inbound-rtp {kind}"]["packetsLost"]
            and client[f"inbound-rtp {kind}"]["packetsReceived"]
            == way.carried_out[line.ssrc] + way.carried_out[line.rtx_ssrc]
            for kind, line in lines.items()
        )

    client = await until(page, is_at_rest)
    return {
        kind: (
            line.stats(),
            {what: client[f"{what} {kind}"] for what in ("inbound-rtp", "outbound-rtp", "remote-inbound-rtp")},
        )
        for kind, line in lines.items()
    }


def since_first(count: int) -> range:
    """How many of so many a receiver can know of: not of a first or a last one that never came."""
    return range(count - 2, count + 1)


def same_times(ours: MediaStats, theirs: dict[str, Any]) -> None:
    """Times are told as they were at a report, of which each side has another, and Chromium's own jitter as it is now.

    Round trips are those of other packets, and Chromium's is that through a busy machine.
    """
    reported, came = theirs["remote-inbound-rtp"], theirs["inbound-rtp"]
    assert ours.jitter_local_us == pytest.approx(reported["jitter"] * 1e6, abs=30_000)
    assert ours.jitter_local == int((ours.jitter_local_us or 0) / 1000)
    assert ours.jitter_remote_us == pytest.approx(came["jitter"] * 1e6, abs=30_000)
    # Of sound there is a sender report every five seconds, so that there may be none yet.
    if "roundTripTime" in reported:
        assert ours.rtt_us == pytest.approx(reported["roundTripTime"] * 1e6, abs=500_000)
        assert ours.rtt == int((ours.rtt_us or 0) / 1000)


def same_key_frames(ours: MediaStats, theirs: dict[str, Any]) -> None:
    came, sent = theirs["inbound-rtp"], theirs["outbound-rtp"]
    assert (ours.plis_received, ours.firs_received) == (came["pliCount"], came["firCount"])
    assert (ours.plis_sent, ours.firs_sent) == (sent["pliCount"], sent["firCount"])
    assert ours.keyframes_received == sent["keyFramesEncoded"] > 0


async def test_every_counter_is_the_client_s() -> None:
    async with relay() as way, call(way) as (page, handle):
        await until(page, lambda s: decoded(s) > 30 and "roundTripTime" in s.get("remote-inbound-rtp video", {}))
        found = await at_rest(page, handle, way)
    for kind, (ours, theirs) in found.items():
        came, sent = theirs["inbound-rtp"], theirs["outbound-rtp"]
        assert ours.packets_sent == came["packetsReceived"] > 0
        assert ours.bytes_sent == came["bytesReceived"] + came["headerBytesReceived"]
        probes = way.carried_in[sent["rtxSsrc"]] if kind == "video" else 0
        assert ours.packets_received == sent["packetsSent"] - probes
        # What is echoed is as large as what came, so that this is about both.
        assert ours.bytes_received == ours.bytes_sent
        if not probes:
            assert ours.bytes_received == sent["bytesSent"] + sent["headerBytesSent"]
        assert (ours.lost, ours.lost_by_remote) == (0, 0)
        assert (ours.reordered, ours.duplicates, ours.retransmissions_received, ours.retransmissions_sent) == (0,) * 4
        assert (ours.nacks_received, ours.nacks_sent) == (0, 0)
        same_times(ours, theirs)
    video, theirs = found["video"]
    same_key_frames(video, theirs)
    assert video.keyframes_sent == theirs["inbound-rtp"]["keyFramesDecoded"]


async def test_every_counter_is_the_client_s_where_packets_are_lost() -> None:
    async with relay(every_in=12, every_out=12) as way, call(way) as (page, handle):
        await until(
            page,
            lambda s: (
                decoded(s) > 30
                and s["outbound-rtp video"]["retransmittedPacketsSent"] > 2
                and s["inbound-rtp video"]["retransmittedPacketsReceived"] > 2
                and "roundTripTime" in s.get("remote-inbound-rtp video", {})
            ),
        )
        found = await at_rest(page, handle, way)
        lines = dict(zip(("audio", "video"), handle.peer.lines, strict=True))
        nack_messages = handle.peer.reports.counts["Nack"]
    for kind, (ours, theirs) in found.items():
        came, sent, line = theirs["inbound-rtp"], theirs["outbound-rtp"], lines[kind]
        assert ours.packets_received is not None
        assert ours.lost is not None
        repeated = ours.retransmissions_received or 0
        assert ours.packets_received == way.carried_in[sent["ssrc"]] + repeated
        assert ours.lost in since_first(way.dropped_in[sent["ssrc"]] - repeated)
        again = way.carried_in[sent["rtxSsrc"]] + way.dropped_in[sent["rtxSsrc"]] if kind == "video" else 0
        assert ours.packets_received + ours.lost in since_first(sent["packetsSent"] - again)
        assert ours.packets_sent == way.carried_out[line.ssrc] + way.dropped_out[line.ssrc]
        assert came["packetsReceived"] == way.carried_out[line.ssrc] + way.carried_out[line.rtx_ssrc]
        same_times(ours, theirs)
    audio, theirs = found["audio"]
    assert audio.lost
    # What was lost on the way to us is missing on the way back as well.
    assert audio.lost_by_remote in since_first(audio.lost + way.dropped_out[lines["audio"].ssrc])
    video, theirs = found["video"]
    came, sent, line = theirs["inbound-rtp"], theirs["outbound-rtp"], lines["video"]
    rtx = line.rtx_ssrc
    assert video.retransmissions_sent == way.carried_out[rtx] + way.dropped_out[rtx]
    assert way.carried_out[rtx] == came["retransmittedPacketsReceived"]
    assert 0 < (video.retransmissions_received or 0) <= sent["retransmittedPacketsSent"]
    assert nack_messages == came["nackCount"]
    assert came["nackCount"] <= (video.nacks_received or 0)
    assert 0 < sent["nackCount"] <= (video.nacks_sent or 0) <= 17 * sent["nackCount"]
    assert (video.nacks_sent or 0) >= (video.retransmissions_received or 0)
    same_key_frames(video, theirs)
