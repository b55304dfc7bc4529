"""Our statistics by the W3C's names against what Chromium calls its own, and says of the same call."""

from typing import Any

import pytest

from appliance.core.events import Body, DtlsDetail, DtlsState, MediaStats, PairCounters, RtcpReport, event
from appliance.core.webrtc_stats import stats_of
from tests.interop.echo_page import call, decoded, until
from tests.media.harness import Handle
from tests.peers.relay import relay

pytestmark = pytest.mark.interop

OF_ITS_OWN = {"id", "type", "timestamp"}
EVERY = "async () => [...(await pc.getStats()).values()]"
NEW_IN_TIME = {"remote-outbound-rtp", "remote-inbound-rtp"}


def ours(handle: Handle) -> list[dict[str, Any]]:
    kinds = (MediaStats, PairCounters, DtlsDetail, DtlsState, RtcpReport)
    bodies: list[Body] = [fact for fact in handle.facts if isinstance(fact, kinds)]
    return [one for body in bodies for one in stats_of(event(body, emitter="gw", timestamp=0))]


def names(stats: list[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in stats:
        found.setdefault(one["type"], set()).update(one.keys() - OF_ITS_OWN)
    return found


async def test_chromium_has_the_same_names_and_values() -> None:
    async with relay(every_in=50, every_out=50) as way, call(way) as (page, handle):
        await until(
            page,
            lambda client: (
                decoded(client) > 60
                and "retransmittedPacketsReceived" in client["inbound-rtp video"]
                and "roundTripTime" in client.get("remote-inbound-rtp video", {})
                and names(ours(handle)).keys() >= NEW_IN_TIME
            ),
        )
        theirs = names(await page.evaluate(EVERY))
        found = names(ours(handle))
        assert found.keys() <= theirs.keys()
        assert {kind: fields - theirs[kind] for kind, fields in found.items() if fields - theirs[kind]} == {}
        client = await page.evaluate("stats()")
        latest = {(one["type"], one.get("kind")): one for one in ours(handle)}
    for kind in ("audio", "video"):
        sent, came = client[f"outbound-rtp {kind}"], latest["inbound-rtp", kind]
        # The statistics of each side are up to half a second old.
        assert came["packetsReceived"] == pytest.approx(sent["packetsSent"], abs=150)
        total = came["bytesReceived"] + came["headerBytesReceived"]
        assert total == pytest.approx(sent["bytesSent"] + sent["headerBytesSent"], rel=0.25)
        assert 0 <= came["jitter"] < 0.2
        assert latest["remote-inbound-rtp", kind]["roundTripTime"] == pytest.approx(
            client[f"remote-inbound-rtp {kind}"]["roundTripTime"], abs=0.5
        )
