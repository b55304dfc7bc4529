"""A whole call, datagram by datagram: what the engine tells, in which order, and how it ends."""

import msgspec

from appliance.core.events import (
    Body,
    Connection,
    DtlsDetail,
    DtlsState,
    IceState,
    MediaFault,
    MediaState,
    MediaStats,
    PairCounters,
    RtcpReport,
    SelectedPair,
    event,
    to_janus,
)
from appliance.media.identity import DtlsIdentity
from appliance.wire.dtls import records
from tests.clock import FakeClock
from tests.media.conftest import Call


def names(facts: list[Body]) -> list[str]:
    """What a Janus backend would see, in words."""
    words: list[str] = []
    for fact in facts:
        if not fact.extension:
            content = msgspec.to_builtins(fact)
            key = next(iter(content))
            word = content[key] if key in {"ice", "dtls", "connection"} else key
            words.append(f"{word} {content['receiving']}" if isinstance(fact, MediaState) else str(word))
    return words


async def test_events_come_in_the_order_of_janus(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False, candidates=("candidate:1 1 udp 2130706431 127.0.0.1 9 typ host",))
    client.connect()
    client.send_rtp("audio", 1, 960)
    client.pump()
    clock.advance(0.5)
    client.send_rtp("audio", 2, 1920)
    client.pump()
    clock.advance(0.5)
    handle.peer.close("Janus API")

    # As aiortc_echo of the recorded Janus 1.4.1, but for the candidate that was heard (its client had told it).
    assert names(handle.facts) == [
        "gathering", "remote-candidate", "local-candidate", "connecting",
        "remote-candidate", "selected-pair", "connected", "ready",
        "trying", "connected", "webrtcup",
        "media True",
        "mid", "mid",
        "mid", "mid",
        "hangup",
    ]  # fmt: skip
    assert handle.hangup() == "Janus API"


async def test_without_candidates_connecting_comes_with_the_first_check(call: Call) -> None:
    client, handle = call(connect=False, trickle=True)
    assert names(handle.facts) == ["gathering", "local-candidate"]
    client.check(nominate=False)
    client.pump()
    assert names(handle.facts)[2:] == ["remote-candidate", "connecting"]


async def test_an_echo_comes_back_under_our_numbers(call: Call) -> None:
    client, handle = call()
    for index in range(5):
        client.send_rtp("video", 65_534 + index, 3000 * index, bytes([index]) * 50)
    client.pump()

    headers = [header for header, _ in client.packets]
    assert [payload for _, payload in client.packets] == [bytes([index]) * 50 for index in range(5)]
    assert {header.ssrc for header in headers} == {client.ssrc_of("video")}
    assert [(header.sequence_number - headers[0].sequence_number) & 0xFFFF for header in headers] == [0, 1, 2, 3, 4]
    assert [(header.timestamp - headers[0].timestamp) & 0xFFFFFFFF for header in headers] == [
        0, 3000, 6000, 9000, 12000,
    ]  # fmt: skip
    assert [(state.media, state.mid, state.receiving) for state in handle.all(MediaState)] == [("video", "1", True)]


async def test_statistics_have_the_keys_of_janus_in_its_order(call: Call, clock: FakeClock) -> None:
    client, handle = call(kinds=("audio", "video", "data"))
    for index in range(10):
        client.send_rtp("audio", index, 960 * index)
    client.pump()
    clock.advance(1.0)

    audio, video, data = handle.all(MediaStats)[-3:]
    shown = to_janus(event(audio, emitter="e", timestamp=1))
    assert shown is not None
    # reference: traces/aiortc_echo of Janus 1.4.1, first statistics of its audio
    janus = [
        "mid", "mindex", "media", "codec", "base", "rtt", "lost", "lost-by-remote", "jitter-local", "jitter-remote",
        "in-link-quality", "in-media-link-quality", "out-link-quality", "out-media-link-quality",
        "packets-received", "packets-sent", "bytes-received", "bytes-sent", "bytes-received-lastsec",
        "bytes-sent-lastsec", "nacks-received", "nacks-sent", "retransmissions-received",
    ]  # fmt: skip
    assert list(shown["event"])[: len(janus)] == janus
    assert (audio.codec, audio.base, audio.packets_received, audio.packets_sent) == ("opus", 48000, 10, 10)
    # RTP header and payload, without SRTP's tag
    assert (audio.bytes_received, audio.bytes_sent, audio.bytes_received_lastsec) == (1120, 1120, 1120)
    assert (audio.lost, audio.in_link_quality, audio.out_media_link_quality) == (0, 100, 100)
    assert audio.has_reports is False
    assert (video.mid, video.mindex, video.packets_received) == ("1", 1, 0)
    assert client.dtls is not None
    assert (data.media, data.packets_received, data.packets_sent) == (
        "data", client.dtls.packets_sent, client.dtls.packets_received,
    )  # fmt: skip


async def test_a_second_without_packets_is_told_and_so_is_their_return(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("audio", 1, 0)
    client.pump()
    clock.advance(2.0)
    client.send_rtp("audio", 2, 96_000)
    client.pump()
    assert [state.receiving for state in handle.all(MediaState)] == [True, False, True]


async def test_close_notify_of_the_client_ends_the_call(call: Call) -> None:
    client, handle = call()
    assert client.dtls is not None
    client.dtls.close()
    client.pump()
    assert handle.hangup() == "DTLS alert"
    alert = handle.all(DtlsDetail)[-1].alert
    assert alert is not None
    assert (alert.direction, alert.level, alert.code, alert.name) == ("received", "warning", 0, "close_notify")
    # The last statistics come first, the hangup last.
    assert isinstance(handle.facts[-1], Connection)
    assert handle.all(MediaStats)


async def test_our_end_is_told_to_the_client_as_close_notify(call: Call) -> None:
    client, handle = call()
    handle.peer.close(None)
    client.pump()
    assert client.peer_closed
    assert handle.hangup() is None
    assert len(handle.all(MediaStats)) == 2


async def test_a_wrong_certificate_fails_with_a_fatal_alert(call: Call) -> None:
    client, handle = call(connect=False)
    client.check()
    client.pump()
    client.start_dtls(identity=DtlsIdentity())
    client.pump()
    assert [state.dtls for state in handle.all(DtlsState)] == ["trying", "failed"]
    assert handle.hangup() == "DTLS alert"
    detail = handle.all(DtlsDetail)[-1]
    assert detail.fingerprint_expected == f"sha-256 {client.fingerprint.value}"
    assert detail.fingerprint_received not in {None, detail.fingerprint_expected}
    assert [(alert.direction, alert.level) for alert in client.alerts] == [("received", "fatal")]
    assert client.failure == "DTLS alert"


async def test_a_silent_handshake_is_given_up_after_twenty_seconds(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False)
    client.check()
    client.pump()
    for _ in range(39):
        clock.advance(0.5)
        client.pump()
    assert handle.hangup() is None
    # What has come of it, nothing, is told once, while it can still be waited for.
    assert [detail.records_received for detail in handle.all(DtlsDetail)] == [{}]
    clock.advance(0.5)
    assert handle.hangup() == "DTLS timeout"
    # Janus tells no failed state for this one.
    assert [state.dtls for state in handle.all(DtlsState)] == ["trying"]
    assert handle.all(DtlsDetail)[-1].records_received == {}


async def test_the_first_flight_may_come_before_nomination(call: Call) -> None:
    client, handle = call(connect=False)
    client.check(nominate=False)
    client.pump()
    client.start_dtls()
    client.pump()
    assert not handle.all(DtlsState)
    client.check(nominate=True)
    client.pump()
    assert client.connected
    assert handle.peer.up


async def test_flights_before_nomination_are_bounded(call: Call) -> None:
    client, handle = call(connect=False)
    client.check(nominate=False)
    client.pump()
    for _ in range(10):
        client.send(b"\x16\xfe\xff" + bytes(40))
    client.pump()
    assert sum(len(flight) for flight in handle.peer.association._early.values()) == 4
    assert client.engine.dropped == {"unknown_source": 6}


async def test_we_are_dtls_client_for_a_passive_offer(call: Call) -> None:
    client, handle = call(setup="passive")
    assert client.transport.setup == "active"
    assert handle.all(DtlsDetail)[0].role == "client"
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1


async def test_a_call_without_any_check_fails_after_thirty_seconds(call: Call, clock: FakeClock) -> None:
    _, handle = call(connect=False, candidates=("candidate:1 1 udp 1 127.0.0.1 9 typ host",))
    clock.advance(29.5)
    assert handle.hangup() is None
    clock.advance(0.5)
    assert [state.ice for state in handle.all(IceState)] == ["gathering", "connecting", "failed"]
    assert handle.hangup() == "ICE failed"
    (pair,) = handle.all(PairCounters)[-1].pairs
    assert pair.requests_sent >= 58
    assert (pair.responses_received, pair.requests_received) == (0, 0)
    # While it is connecting, the counters are told each second.
    assert len(handle.all(PairCounters)) > 20


async def test_silence_disconnects_and_a_packet_reconnects(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.answers_probes = False
    clock.advance(6.0)
    client.pump()
    assert handle.all(IceState)[-1].ice == "disconnected"
    client.send_rtp("audio", 1, 0)
    client.pump()
    clock.advance(1.0)
    assert [state.ice for state in handle.all(IceState)][-2:] == ["connected", "ready"]


async def test_thirty_seconds_of_silence_end_the_call(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.answers_probes = False
    for _ in range(29):
        clock.advance(1.0)
        client.pump()
    assert handle.hangup() is None
    clock.advance(2.0)
    assert [state.ice for state in handle.all(IceState)][-2:] == ["disconnected", "failed"]
    assert handle.hangup() == "ICE failed"


async def test_answered_probes_are_proof_of_life(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    for _ in range(60):
        clock.advance(1.0)
        client.pump()
    assert handle.hangup() is None
    assert handle.all(IceState)[-1].ice == "ready"


async def test_an_ice_restart_keeps_keys_and_numbers(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("audio", 1, 0)
    client.pump()
    ssrc, states = client.ssrc_of("audio"), len(handle.all(DtlsState))
    before = len(handle.facts)
    old = client.transport.ice_ufrag
    client.ufrag, client.pwd = "restarted", "0123456789012345678901234"
    client.take(handle.answer(client.offer()))
    assert client.transport.ice_ufrag != old
    client.send_rtp("audio", 2, 960)  # the old pair carries on meanwhile
    client.move()
    client.check()
    client.pump()
    client.send_rtp("audio", 3, 1920)
    client.pump()
    new = [fact for fact in handle.facts[before:] if not fact.extension and not isinstance(fact, MediaStats)]
    assert names(new) == ["gathering", "connecting", "remote-candidate", "selected-pair", "connected", "ready"]
    assert len(handle.all(DtlsState)) == states
    assert client.ssrc_of("audio") == ssrc
    assert [header.ssrc for header, _ in client.packets] == [ssrc, ssrc]
    assert len([fact for fact in handle.all(Connection) if fact.connection == "webrtcup"]) == 1
    clock.advance(1.0)
    assert handle.all(MediaStats)[-2].packets_received == 3


async def test_a_client_that_moves_takes_the_call_along(call: Call) -> None:
    client, handle = call()
    client.move()
    client.check()
    client.pump()
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1
    first, second = handle.all(SelectedPair)
    assert second.candidates is not None
    assert second.candidates.remote.port == client.address[1]
    assert first.pair != second.pair


async def test_lines_can_be_added_while_a_call_is_up(call: Call, clock: FakeClock) -> None:
    client, handle = call(kinds=("audio",))
    client.send_rtp("audio", 1, 0)
    client.pump()
    client.kinds, client.directions = ("audio", "video"), ("sendrecv", "sendrecv")
    client.ssrcs["video"] = 2000
    client.take(handle.answer(client.offer()))
    client.send_rtp("video", 1, 0)
    client.send_rtp("audio", 2, 960)
    client.pump()
    assert {header.ssrc for header, _ in client.packets} == {client.ssrc_of("audio"), client.ssrc_of("video")}
    assert [state.ice for state in handle.all(IceState)] == ["gathering", "connecting", "connected", "ready"]
    clock.advance(1.0)
    assert [stats.media for stats in handle.all(MediaStats)] == ["audio", "video"]


async def test_a_line_that_turns_inactive_is_echoed_no_more(call: Call) -> None:
    client, handle = call()
    client.directions = ("recvonly", "sendrecv")
    client.take(handle.answer(client.offer()))
    assert [medium.direction for medium in handle.peer.media] == ["inactive", "sendrecv"]
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert not client.packets


async def test_what_was_refused_is_told_with_the_statistics(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    good = client.rtp("audio", 1, 0)
    client.send(good)
    client.send(good)
    bad = client.rtp("audio", 5, 960)
    client.send(bad[:-1] + bytes([bad[-1] ^ 1]))
    client.send_rtp("audio", 2, 960, payload_type=99)
    client.send_rtp("audio", 1, 0, ssrc=77, payload_type=98)
    client.pump()
    clock.advance(1.0)
    assert {(fault.kind, fault.ssrc): fault.count for fault in handle.all(MediaFault)} == {
        ("srtp_replay", client.ssrcs["audio"]): 1,
        ("srtp_auth", client.ssrcs["audio"]): 1,
        ("unknown_payload_type", client.ssrcs["audio"]): 1,
        ("unknown_ssrc", 77): 1,
    }
    audio = next(stats for stats in handle.all(MediaStats) if stats.media == "audio")
    assert (audio.packets_received, audio.duplicates, audio.lost) == (1, 1, 0)


async def test_our_handshake_flights_fit_any_path(call: Call) -> None:
    client, _ = call(connect=False)
    sizes: list[int] = []

    def watch(data: bytes) -> bool:
        if 19 < data[0] < 64:
            sizes.append(len(data))
            assert list(records(data))
        return True

    client.listener = watch
    client.connect()
    assert sizes
    assert max(sizes) <= 1200


async def test_the_live_state_has_the_shape_of_janus(call: Call) -> None:
    client, handle = call(kinds=("audio", "video", "data"))
    client.send_rtp("audio", 1, 0)
    client.pump()
    shown = handle.peer.describe()
    # reference: admin_handle_info_up.json of Janus 1.4.1
    assert list(shown) == ["ice", "dtls", "extensions", "bwe", "media"]
    assert list(shown["ice"]) == [
        "stream_id", "component_id", "state", "gathered", "connected", "local-candidates", "remote-candidates",
        "selected-pair", "ready",
    ]  # fmt: skip
    assert list(shown["dtls"]) == [
        "fingerprint", "remote-fingerprint", "remote-fingerprint-hash", "dtls-role", "dtls-state", "retransmissions",
        "valid", "srtp-profile", "ready", "handshake-started", "connected", "sctp-association", "stats",
    ]  # fmt: skip
    assert shown["dtls"]["srtp-profile"] == "SRTP_AEAD_AES_128_GCM"
    assert list(shown["media"]) == ["0", "1", "2"]
    assert shown["media"]["0"]["ssrc"] == {"ssrc": client.ssrc_of("audio"), "ssrc-peer": client.ssrcs["audio"]}
    assert shown["media"]["2"]["type"] == "data"
    msgspec.json.encode(shown)


async def test_reports_are_told_in_both_directions(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("audio", 1, 0)
    client.pump()
    clock.advance(1.0)
    client.pump()
    (out,) = handle.all(RtcpReport)
    assert (out.direction, out.packet_type, out.ssrc, out.mid) == ("out", 200, client.ssrc_of("audio"), "0")
    assert out.sender_info is not None
    assert out.sender_info.packets == 1
    assert [block.source_ssrc for block in out.blocks] == [client.ssrcs["audio"]]
