"""Chromium over a lossy way: retransmission apart, transport-wide feedback, and counters that both sides agree on."""

import pytest

from appliance.core.events import MediaStats
from tests.interop.echo_page import call, decoded, until
from tests.peers.relay import relay

pytestmark = pytest.mark.interop


async def test_lost_video_is_sent_again_both_ways_and_the_bitrate_stays() -> None:
    async with relay(every_in=20, every_out=20) as way, call(way) as (page, handle):
        client = await until(
            page,
            lambda s: (
                decoded(s) > 60
                and s["outbound-rtp video"]["retransmittedPacketsSent"] > 5
                and s["inbound-rtp video"]["retransmittedPacketsReceived"] > 5
                and handle.peer.path.sent.feedbacks_received > 20
                and handle.peer.path.arrivals.feedbacks_sent > 20
            ),
        )
        assert client["inbound-rtp video"]["rtxSsrc"] == handle.peer.lines[1].rtx_ssrc
        assert client["outbound-rtp video"]["rtxSsrc"] in handle.peer.path.repairs.ssrcs
        told = handle.all(MediaStats)[-1]
        assert told.media == "video"
        assert told.retransmissions_received
        assert told.retransmissions_sent
        # Nothing of what was lost is missing for good, but what is still on its way.
        assert told.lost is not None
        assert told.lost < 10
        assert len(handle.peer.path.streams) == 2


async def test_feedback_lets_the_browser_raise_its_estimate() -> None:
    async with relay() as way, call(way) as (page, _handle):
        await until(page, lambda s: decoded(s) > 60)
        # Without feedback the estimate falls to nothing within seconds.
        await until(page, lambda s: s["pair"]["availableOutgoingBitrate"] > 600_000)
