"""Statistics by the W3C's names: the values against what the events say."""

from typing import Any

import pytest

from appliance.core import events as e
from appliance.core.webrtc_stats import MEDIA, PAIR, stats_of

LOCAL = e.CandidateAddress(address="192.0.2.1", port=10000, type="host")
REMOTE = e.CandidateAddress(address="198.51.100.7", port=50000, type="srflx")


def made(body: e.Body) -> dict[str, dict[str, Any]]:
    """By type."""
    found = list(stats_of(e.event(body, emitter="gw", timestamp=1_700_000_000_123_456)))
    assert {one.pop("timestamp") for one in found} <= {1_700_000_000_123.456}
    return {one["type"]: one for one in found}


def test_a_medium() -> None:
    found = made(
        e.MediaStats(
            mid="1", media="video", codec="VP8", base=90_000, packets_received=100, bytes_received=51_200, lost=3,
            jitter_local=4, jitter_local_us=4_500, plis_sent=2, retransmissions_received=5, packets_sent=80,
            bytes_sent=40_960, retransmissions_sent=7, plis_received=1, lost_by_remote=2, jitter_remote=6, rtt=31,
            rtt_us=31_250, has_reports=True, nacks_sent=9,
        )
    )  # fmt: skip
    about = {"kind": "video", "mid": "1", "codecId": "codec-1"}
    assert found == {
        "codec": {"id": "codec-1", "type": "codec", "mimeType": "video/VP8", "clockRate": 90_000},
        "inbound-rtp": about
        | {"id": "inbound-rtp-1", "type": "inbound-rtp", "packetsReceived": 100, "packetsLost": 3, "jitter": 0.0045}
        | {"pliCount": 2, "retransmittedPacketsReceived": 5, "bytesReceived": 50_000, "headerBytesReceived": 1_200},
        "outbound-rtp": about
        | {"id": "outbound-rtp-1", "type": "outbound-rtp", "packetsSent": 87, "pliCount": 1}
        | {"retransmittedPacketsSent": 7, "bytesSent": 40_000, "headerBytesSent": 960},
        "remote-inbound-rtp": {"kind": "video", "codecId": "codec-1"}
        | {"id": "remote-inbound-rtp-1", "type": "remote-inbound-rtp", "localId": "outbound-rtp-1"}
        | {"packetsLost": 2, "jitter": 0.006, "roundTripTime": 0.03125},
    }


def test_what_is_not_told_is_left_out() -> None:
    found = made(e.MediaStats(mid="0", media="audio", packets_received=1, has_reports=False))
    assert found.keys() == {"inbound-rtp", "outbound-rtp"}
    assert found["inbound-rtp"].keys() == {"id", "type", "kind", "mid", "packetsReceived"}
    assert made(e.MediaStats(media="data", packets_received=4)) == {}
    assert made(e.IceState(ice="connected")) == {}


def test_a_layer_of_simulcast_came_and_was_not_sent() -> None:
    found = made(e.MediaStats(mid="1", media="video-sim2", packets_received=5, packets_sent=0))
    assert found.keys() == {"inbound-rtp"}
    assert (found["inbound-rtp"]["id"], found["inbound-rtp"]["kind"]) == ("inbound-rtp-1-sim2", "video")


@pytest.mark.parametrize(("sent", "answered", "state"), [(0, 0, "waiting"), (3, 0, "in-progress"), (3, 2, "succeeded")])
def test_a_pair(sent: int, answered: int, state: str) -> None:
    pair = e.PairStats(local=LOCAL, remote=REMOTE, requests_sent=sent, responses_received=answered, rtt_ms=2.5)
    found = made(e.PairCounters(pairs=(pair,)))
    assert found["remote-candidate"]["address"] == "198.51.100.7"
    assert found["remote-candidate"]["candidateType"] == "srflx"
    shown = found["candidate-pair"]
    assert shown["localCandidateId"] == found["local-candidate"]["id"]
    assert (shown["state"], shown["requestsSent"], shown["currentRoundTripTime"]) == (state, sent, 0.0025)


def test_a_sender_report_and_the_transport() -> None:
    info = e.SenderInfo(ntp_sec=2_208_988_801, ntp_frac=1 << 31, rtp_timestamp=9, packets=7, octets=700)
    found = made(e.RtcpReport(direction="in", packet_type=200, ssrc=5, sender_info=info))["remote-outbound-rtp"]
    assert (found["packetsSent"], found["bytesSent"], found["remoteTimestamp"]) == (7, 700, 1_500.0)
    assert made(e.RtcpReport(direction="out", packet_type=200, ssrc=5, sender_info=info)) == {}
    told = made(e.DtlsDetail(role="server", version="DTLSv1.2", cipher="ECDHE-ECDSA-AES128-GCM-SHA256"))["transport"]
    assert (told["dtlsRole"], told["tlsVersion"]) == ("server", "FEFD")
    assert made(e.DtlsState(dtls="trying"))["transport"]["dtlsState"] == "connecting"


def test_the_table_names_fields_that_there_are() -> None:
    assert {name.field for names in MEDIA.values() for name in names} <= set(e.MediaStats.__struct_fields__)
    assert {name.field for name in PAIR} <= set(e.PairStats.__struct_fields__)
