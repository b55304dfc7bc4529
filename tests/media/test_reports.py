"""RTCP: round trips, translated sender reports, key frames, estimates, losses repaired in both directions."""

from appliance.core.events import MediaFault, MediaState, MediaStats, RtcpReport, SlowLink
from appliance.media.clocks import NtpClock
from appliance.media.config import MAX_REPORTED_SSRCS, MAX_STREAMS, MediaConfig
from appliance.media.quality import Quality
from appliance.wire import rtcp
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle


def of(kind: type[rtcp.Packet], client: Client) -> list[rtcp.Packet]:
    return [report for report in client.reports if type(report) is kind]


def stats(handle: Handle, media: str) -> MediaStats:
    return [found for found in handle.all(MediaStats) if found.media == media][-1]


async def test_the_round_trip_comes_out_of_a_receiver_report(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("video", 1, 0)
    client.pump()
    clock.advance(1.0)
    client.pump()
    (report,) = of(rtcp.SenderReport, client)
    assert isinstance(report, rtcp.SenderReport)
    block = rtcp.ReportBlock(
        ssrc=report.ssrc, fraction_lost=0, packets_lost=3, highest_sequence=7, jitter=900, lsr=report.lsr, dlsr=32_768
    )
    clock.advance(0.55)  # half a second held back, 50 ms on the way
    client.send_rtcp(rtcp.ReceiverReport(ssrc=1, reports=(block,)))
    client.pump()
    clock.advance(0.5)
    shown = stats(handle, "video")
    assert shown.rtt in {49, 50}
    assert shown.rtt_us is not None
    assert abs(shown.rtt_us - 50_000) < 100
    assert shown.rtt_values is not None
    values = shown.rtt_values
    assert (values.lsr, values.dlsr) == (report.lsr, 32_768)
    # Janus: rtt = (ntp - lsr - dlsr) * 1000 / 65536, floored
    assert shown.rtt == (values.ntp - values.lsr - values.dlsr) * 1000 // 65_536
    assert (shown.lost_by_remote, shown.jitter_remote, shown.has_reports) == (3, 10, True)
    received = next(found for found in handle.all(RtcpReport) if found.direction == "in")
    assert (received.packet_type, received.ssrc, received.mid) == (201, 1, "1")


async def test_a_report_that_would_mean_a_negative_round_trip_is_ignored(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    block = rtcp.ReportBlock(
        ssrc=client.ssrc_of("video"), fraction_lost=0, packets_lost=0, highest_sequence=1, jitter=0,
        lsr=NtpClock(clock).now() >> 16 & 0xFFFFFFFF, dlsr=65_536,
    )  # fmt: skip
    client.send_rtcp(rtcp.ReceiverReport(ssrc=1, reports=(block,)))
    client.pump()
    clock.advance(1.0)
    assert (stats(handle, "video").rtt, stats(handle, "video").rtt_values) == (0, None)


async def test_sender_reports_map_the_sources_clock_to_ours(call: Call, clock: FakeClock) -> None:
    client, _ = call()
    client.send_rtp("audio", 1, 48_000)
    client.send_rtp("video", 1, 500_000)
    client.pump()
    offsets = {
        header.ssrc: (header.timestamp - (48_000 if header.ssrc == client.ssrc_of("audio") else 500_000)) & 0xFFFFFFFF
        for header, _ in client.packets
    }
    # Captured a second ago, both at the same moment of the sender's clock.
    for kind, timestamp in (("audio", 48_000), ("video", 500_000)):
        report = rtcp.SenderReport(
            ssrc=client.ssrcs[kind], ntp_time=5000 << 32, rtp_timestamp=timestamp, packet_count=1, octet_count=100
        )
        client.send_rtcp(report)
    client.pump()
    clock.advance(1.0)
    client.pump()
    reports = {report.ssrc: report for report in client.reports if isinstance(report, rtcp.SenderReport)}
    assert reports.keys() == {client.ssrc_of("audio"), client.ssrc_of("video")}
    for kind, start, rate in (("audio", 48_000, 48_000), ("video", 500_000, 90_000)):
        report = reports[client.ssrc_of(kind)]
        plain = (report.rtp_timestamp - offsets[report.ssrc]) & 0xFFFFFFFF
        assert plain == start + rate  # a second later in both
        assert (report.packet_count, report.octet_count) == (1, 100)
    names = [report.chunks[0].cname for report in client.reports if isinstance(report, rtcp.Sdes)]
    assert names == ["janus"]


async def test_key_frame_requests_are_passed_on_and_throttled(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("video", 1, 0)
    client.pump()
    assert len(of(rtcp.Pli, client)) == 1  # for the stream's beginning
    clock.advance(0.6)
    for _ in range(20):
        client.send_rtcp(rtcp.Pli(sender_ssrc=1, media_ssrc=client.ssrc_of("video")))
    client.send_rtcp(rtcp.Fir(sender_ssrc=1, media_ssrc=0, entries=((client.ssrc_of("video"), 1),)))
    client.pump()
    assert len(of(rtcp.Pli, client)) == 2
    assert {pli.media_ssrc for pli in of(rtcp.Pli, client) if isinstance(pli, rtcp.Pli)} == {client.ssrcs["video"]}
    clock.advance(0.5)
    client.pump()
    assert len(of(rtcp.Pli, client)) == 3  # what came too early was put off
    clock.advance(5.0)
    client.pump()
    assert len(of(rtcp.Pli, client)) == 3
    shown = stats(handle, "video")
    assert (shown.plis_received, shown.firs_received, shown.plis_sent) == (20, 1, 3)


async def test_fir_is_used_where_pli_is_not_spoken(call: Call) -> None:
    client, handle = call(kinds=("audio",))
    client.kinds, client.directions = ("audio", "video"), ("sendrecv", "sendrecv")
    client.ssrcs["video"] = 2000
    offer = client.offer().replace("a=rtcp-fb:96 nack pli\r\n", "")
    client.take(handle.answer(offer))
    client.send_rtp("video", 1, 0)
    client.pump()
    (fir,) = of(rtcp.Fir, client)
    assert isinstance(fir, rtcp.Fir)
    assert fir.entries == ((2000, 1),)


async def test_a_bitrate_cap_is_told_each_second_and_its_end_once(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("video", 1, 0)
    client.pump()
    handle.peer.set_bitrate(512_000)
    for _ in range(3):
        clock.advance(1.0)
    client.pump()
    told = [report.bitrate_bps for report in client.reports if isinstance(report, rtcp.Remb)]
    assert told == [512_000] * 4
    handle.peer.set_bitrate(0)
    for _ in range(3):
        clock.advance(1.0)
    client.pump()
    rembs = [report for report in client.reports if isinstance(report, rtcp.Remb)]
    assert [report.bitrate_bps for report in rembs[4:]] == [10_000_000]
    assert rembs[-1].ssrcs == (client.ssrcs["video"],)
    assert (stats(handle, "video").rembs_sent, stats(handle, "audio").rembs_sent) == (5, 0)


async def test_only_an_estimate_below_what_flows_is_a_bottleneck(call: Call, clock: FakeClock) -> None:
    client, handle = call(kinds=("video",))
    for number in range(50):
        client.send_rtp("video", number, 3000 * number, bytes(988))
    client.pump()
    clock.advance(1.0)  # 400 kbit/s of packets with their headers

    def told(estimate_bps: int) -> list[int]:
        client.reports.clear()
        clock.advance(0.3)
        remb = rtcp.Remb(sender_ssrc=1, media_ssrc=0, bitrate_bps=estimate_bps, ssrcs=(client.ssrc_of("video"),))
        client.send_rtcp(remb)
        client.send_rtcp(remb)  # too soon after the first
        client.pump()
        return [report.bitrate_bps for report in client.reports if isinstance(report, rtcp.Remb)]

    assert told(300_000) == [300_000]
    assert told(350_000) == [10_000_000]
    handle.peer.set_bitrate(128_000)
    client.pump()
    assert set(told(300_000)) == {128_000}
    clock.advance(1.0)
    shown = stats(handle, "video")
    assert (shown.remb_bitrate, shown.rembs_received) == (300_000, 6)


async def test_losses_are_repaired_in_both_directions(call: Call, clock: FakeClock) -> None:
    """A relay that drops every seventh packet each way, once; both sides ask for what is missing."""
    client, handle = call(kinds=("video",))
    kept = {number: client.rtp("video", number, 3000 * number, number.to_bytes(2, "big") * 20) for number in range(198)}
    asked: list[int] = []
    seen: set[bytes] = set()
    dropped: list[int] = []

    def relay() -> None:
        client.pump()
        fresh = [report for report in client.reports if isinstance(report, rtcp.Nack)]
        client.reports = [report for report in client.reports if not isinstance(report, rtcp.Nack)]
        for nack in fresh:
            asked.extend(nack.lost)
            for number in nack.lost:
                client.send(kept[number])

    def lossy(data: bytes) -> bool:
        # The way back: what is sent again is the same ciphertext, and is let through.
        if 127 < data[0] < 192 and not 191 < data[1] < 224 and data not in seen:
            seen.add(data)
            if len(seen) % 7 == 0:
                dropped.append(int.from_bytes(data[2:4], "big"))
                return False
        return True

    client.listener = lossy
    for number in range(198):
        if number % 7 != 3:
            client.send(kept[number])
        relay()
        clock.advance(0.01)
        relay()
        if dropped and number % 10 == 9:
            lost, dropped[:] = tuple(dropped), []
            client.send_rtcp(rtcp.Nack(sender_ssrc=1, media_ssrc=client.ssrc_of("video"), lost=lost))
            relay()
    clock.advance(1.0)
    relay()

    got = sorted(int.from_bytes(payload[:2], "big") for _, payload in client.packets)
    # What was dropped after the last request of ours isn't back; nothing else is missing, nothing comes twice.
    assert len(got) == len(set(got)) >= 196
    lost_in = [number for number in range(198) if number % 7 == 3]
    assert sorted(set(asked)) == lost_in
    shown = stats(handle, "video")
    assert shown.lost == 0
    assert shown.retransmissions_received == len(lost_in)
    assert shown.nacks_sent == len(asked)
    assert shown.nacks_received == shown.retransmissions_sent
    assert shown.nacks_received is not None
    assert shown.nacks_received >= 20
    assert shown.in_link_quality is not None
    assert shown.in_link_quality < 100
    assert shown.in_media_link_quality == 100


async def test_slow_links_are_told_when_asked_for(call: Call, clock: FakeClock) -> None:
    client, handle = call(kinds=("audio",))
    handle.peer.configure(MediaConfig(slowlink_threshold=4))
    for number in (1, 2, 9):
        client.send_rtp("audio", number, 960 * number)
    block = rtcp.ReportBlock(
        ssrc=client.ssrc_of("audio"), fraction_lost=0, packets_lost=5, highest_sequence=9, jitter=0
    )
    client.send_rtcp(rtcp.ReceiverReport(ssrc=1, reports=(block,)))
    client.pump()
    clock.advance(2.0)
    assert [(slow.slow_link, slow.lost_lastsec, slow.mid) for slow in handle.all(SlowLink)] == [
        ("downlink", 6, "0"), ("uplink", 5, "0"),
    ]  # fmt: skip


async def test_a_slow_link_is_told_in_its_second_however_rare_statistics_are(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    handle.peer.configure(MediaConfig(slowlink_threshold=4, stats_period=60))
    told: list[int] = []
    for second in range(6):
        for index in range(50):
            # In the third second every tenth is lost.
            if second != 2 or index % 10:
                client.send_rtp("audio", 50 * second + index, 960 * (50 * second + index))
            client.pump()
            clock.advance(0.02)
        told.append(len(handle.all(SlowLink)))
    assert told[1] == 0
    assert told[3] == told[5] == 1
    (slow,) = handle.all(SlowLink)
    assert (slow.slow_link, slow.lost_lastsec) == ("downlink", 5)


async def test_pauses_of_speech_and_a_muted_stream_are_no_loss(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    handle.peer.configure(MediaConfig(slowlink_threshold=1))
    sequence = timestamp = 0
    # Opus with DTX: numbers go on, time leaps, a packet each 400 ms.
    for pause in (0.02, 0.4) * 20:
        sequence += 1
        timestamp += int(pause * 48_000)
        clock.advance(pause)
        client.send_rtp("audio", sequence, timestamp)
        client.pump()
    assert [state.receiving for state in handle.all(MediaState)] == [True]
    clock.advance(5)
    client.pump()
    # Muted by the client: silence, which is told as such.
    assert [state.receiving for state in handle.all(MediaState)] == [True, False]
    for _ in range(10):
        sequence += 1
        timestamp += 960
        clock.advance(0.02)
        client.send_rtp("audio", sequence, timestamp + 5 * 48_000)
        client.pump()
    clock.advance(0.5)
    assert [state.receiving for state in handle.all(MediaState)] == [True, False, True]
    told = stats(handle, "audio")
    assert (told.lost, told.in_link_quality, told.in_media_link_quality) == (0, 100, 100)
    assert told.jitter_local == 0
    assert not handle.all(SlowLink)


async def test_an_authenticated_client_cannot_invent_sources_without_end(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    for number in range(MAX_STREAMS + 20):
        client.send_rtp("audio", 1, 0, ssrc=5000 + number)
        client.send_rtcp(rtcp.ReceiverReport(ssrc=9000 + number))
        if number % 20 == 0:
            client.pump()
    for number in range(MAX_REPORTED_SSRCS):
        client.send_rtcp(rtcp.ReceiverReport(ssrc=19_000 + number))
    client.pump()
    assert len(handle.peer.path.streams) == MAX_STREAMS
    assert len(handle.peer.path._rtcp_sources) == MAX_REPORTED_SSRCS
    clock.advance(1.0)
    faults = [fault for fault in handle.all(MediaFault) if fault.kind == "ssrc_limit"]
    assert sum(fault.count for fault in faults) == 20 + (MAX_STREAMS + 20)
    assert len(handle.all(MediaFault)) <= MAX_STREAMS + 2


async def test_malformed_rtcp_is_counted(call: Call, clock: FakeClock) -> None:
    client, handle = call()

    class Broken(rtcp.Packet, frozen=True, kw_only=True):
        def build(self) -> bytes:
            return bytes.fromhex("81c8000100000001")  # a sender report of eight bytes

    client.send_rtcp(Broken())
    client.send_rtcp(rtcp.Unknown(packet_type=195, count=3, body=bytes(8)))
    client.pump()
    clock.advance(1.0)
    assert [(fault.kind, fault.count) for fault in handle.all(MediaFault)] == [("malformed", 1)]
    assert handle.hangup() is None


def test_quality_stays_within_its_bounds() -> None:
    quality = Quality()
    quality.reported(sent=10, lost=0, nacks=500)
    quality.received(expected=10, lost=30, retransmitted=5)
    assert [round(value, 2) for value in (quality.outgoing, quality.outgoing_media)] == [66.67, 100.0]
    assert [round(value, 2) for value in (quality.incoming, quality.incoming_media)] == [66.67, 66.67]
    for _ in range(50):
        quality.reported(sent=0, lost=0, nacks=0)
        quality.received(expected=0, lost=-4, retransmitted=0)
    assert (round(quality.outgoing), round(quality.incoming)) == (100, 100)
