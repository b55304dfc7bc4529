"""The handler against a real listener on loopback."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.archive import HepJournal
from appliance.core.bus import EventBus
from appliance.core.events import Body, Connection, Event, EventType, IceState, MediaStats, event
from appliance.core.handler import EventHandler, HandlerContext
from appliance.handlers.diagnosis import DiagnosisConfig, DiagnosisHandler
from appliance.handlers.hep import HepConfig, HepHandler
from appliance.handlers.hep.journal import Journal
from appliance.hep.client import TcpClient
from appliance.hep.listener import HepListener
from appliance.hep.template import HepTemplate
from tests.clock import FakeClock
from tests.handlers.hep_calls import CALL, jsep, of_handle, trace, verdict
from tests.hep.inbox import Inbox
from tests.hep.strict import receive
from tests.peers.janus import free_port

WHOLE = 89
"""Messages of the recorded call of aiortc: 5 SIP, 36 RTCP made of statistics, 48 events."""


def context(clock: FakeClock, data_dir: Path) -> HandlerContext:
    return HandlerContext(
        clock=clock,
        data_dir=data_dir,
        server_name="my host!",
        publish=lambda body, about: None,
        bus=EventBus(clock),
        measured=[],
    )


def handler(clock: FakeClock | None = None, data_dir: Path | None = None, **settings: Any) -> HepHandler:
    """Without a place for files it has no spool."""
    if data_dir is None:
        settings.setdefault("spool", False)
    return HepHandler(HepConfig(**settings), context(clock or FakeClock(), data_dir or Path()))


def counts(of: HepHandler) -> dict[tuple[str, ...], float]:
    order = ("transport", "proto_type", "reason")
    return {
        (count.name, *(count.labels[label] for label in order if label in count.labels)): count.value
        for count in of.measure()
    }


async def test_keeps_the_contract() -> None:
    made = handler()
    contract: EventHandler = made
    journal: HepJournal = made.journal
    assert contract.name == "hep"
    assert contract.mask == EventType.ALL
    assert journal.sent("nobody") == []


async def test_the_mask_has_what_the_mapping_needs() -> None:
    mask = handler(events="jsep").mask
    assert mask & EventType.JSEP
    assert mask & EventType.TRANSPORT
    assert mask & EventType.EXTERNAL
    assert not mask & EventType.MEDIA


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_a_recorded_call_reaches_the_capture_server(scheme: str) -> None:
    inbox = Inbox()
    events = trace("aiortc_echo")
    async with HepListener(inbox, port=0) as listener:
        made = handler(server=f"{scheme}://127.0.0.1:{listener.port}")
        await made.start()
        await made.handle(events[:40])
        await made.handle(events[40:])
        await made.stop()
        messages = await inbox.have(WHOLE)
    assert len(messages) == WHOLE
    told = [message for message in messages if message.payload_type == 1]
    assert [message.payload.split(b" ", 1)[0] for message in told] == [
        b"INVITE", b"SIP/2.0", b"INFO", b"INFO", b"BYE",
    ]  # fmt: skip
    assert {message.node_name for message in messages} == {"my-host-"}
    assert {message.agent_id for message in messages} == {2001}
    seen = counts(made)
    assert seen["hep_packets_sent_total", scheme, "sip"] == 5
    assert seen["hep_packets_sent_total", scheme, "log"] == 48
    assert seen["hep_packets_sent_total", scheme, "rtcp"] == 36
    assert seen["hep_bytes_sent_total", scheme] == listener.tally.bytes
    assert seen["hep_events_skipped_total", "unattached"] == 21
    assert listener.tally.malformed == {"udp": 0, "tcp": 0, "tls": 0}


async def test_every_capture_server_gets_everything() -> None:
    first, second = Inbox(), Inbox()
    async with HepListener(first, port=0) as one, HepListener(second, port=0) as two:
        made = handler(server=f"udp://127.0.0.1:{one.port}", also=[f"tcp://127.0.0.1:{two.port}"])
        await made.start()
        await made.handle([of_handle(jsep("remote", "offer"))])
        assert await first.have(1) == await second.have(1)
        await made.stop()
    seen = counts(made)
    assert seen["hep_packets_sent_total", "udp", "sip"] == seen["hep_packets_sent_total", "tcp", "sip"] == 1
    assert len(made.journal.sent(CALL)) == 1


async def test_counts_of_two_servers_over_one_transport_are_one_series() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        url = f"udp://127.0.0.1:{listener.port}"
        made = handler(server=url, also=[url])
        await made.start()
        await made.handle([of_handle(IceState(ice="ready"))])
        await inbox.have(2)
        await made.stop()
    names = [(count.name, *count.labels.items()) for count in made.measure()]
    assert len(names) == len(set(names))
    assert counts(made)["hep_packets_sent_total", "udp", "log"] == 2


async def test_the_bye_waits_by_the_clock() -> None:
    clock, inbox = FakeClock(), Inbox()
    async with HepListener(inbox, port=0) as listener:
        made = handler(clock, server=f"udp://127.0.0.1:{listener.port}", events="jsep", verdict_wait_s=2.0)
        await made.start()
        hangup = of_handle(Connection(connection="hangup", reason="Janus API"), 100)
        await made.handle([of_handle(jsep("remote", "offer"), 1), hangup])
        await inbox.have(1)
        clock.advance(1.9)
        assert made.journal.sent(CALL)[-1].summary.startswith("INVITE")
        clock.advance(0.2)
        assert (await inbox.have(2))[1].payload.startswith(b"BYE")
        # A second call, whose verdict comes in time.
        again = "1-2-2@gw-1"
        await made.handle([
            of_handle(jsep("remote", "offer"), 200, correlation_id=again),
            of_handle(Connection(connection="hangup", reason="Janus API"), 300, correlation_id=again),
            of_handle(verdict(), 400, correlation_id=again),
        ])  # fmt: skip
        assert b"X-Verdict: fingerprint_mismatch" in (await inbox.have(4))[3].payload
        clock.advance(10)
        await made.stop()
        assert len(inbox.messages) == 4


async def test_the_key_comes_from_a_file_and_goes_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("s3cret\n")
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        made = handler(server=f"udp://127.0.0.1:{listener.port}", auth_key_file=str(key_file))
        await made.start()
        await made.handle([of_handle(jsep("remote", "offer"))])
        (message,) = await inbox.have(1)
        await made.stop()
    assert message.auth_key == "s3cret"
    assert "s3cret" not in str(made.journal.sent(CALL)) + str(counts(made)) + caplog.text


async def test_a_key_that_receivers_choke_on_is_refused(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text('s3"cret')
    with pytest.raises(ValueError, match="auth_key: a secret came"):
        await handler(auth_key_file=str(key_file)).start()


async def test_a_missing_key_file_is_said() -> None:
    with pytest.raises(OSError, match="no-such-file"):
        await handler(auth_key_file="/no-such-file").start()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"server": "homer:9060"}, "capture server 'homer:9060': wanted udp://host:port"),
        ({"also": ["ftp://homer:1"]}, "capture server 'ftp://homer:1'"),
        ({"events": "jseps"}, "unknown event type 'jseps'"),
        ({"node_name": 'a"b'}, "node_name: 'a\"b' came, wanted printable text"),
        ({"agent_id": -1}, "agent_id: -1 came, wanted 0 to"),
        ({"api_address": "homer"}, "'homer' does not appear to be an IPv4 or IPv6 address"),
    ],
)
async def test_wrong_settings_are_said(settings: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        handler(**settings)


async def test_a_time_that_no_packet_carries_is_counted_not_raised() -> None:
    made = handler(server=f"udp://127.0.0.1:{free_port()}")
    await made.start()
    await made.handle(
        [of_handle(IceState(ice="ready"), timestamp=-5), of_handle(IceState(ice="ready"), timestamp=1 << 62)]
    )
    await made.stop()
    assert counts(made)["hep_events_skipped_total", "unfit"] == 2


async def test_without_a_capture_server_calls_go_on() -> None:
    made = handler(server=f"tcp://127.0.0.1:{free_port()}", spool=False)
    await made.start()
    await made.handle(trace("chrome_echo_http"))
    await made.stop()
    assert counts(made)["hep_packets_dropped_total", "tcp", "disconnected"] > 40


async def test_the_journal_tells_what_was_sent() -> None:
    inbox = Inbox()
    call = "6720542861340463-3145832598425959-1@janus-ref"
    async with HepListener(inbox, port=0) as listener:
        made = handler(server=f"udp://127.0.0.1:{listener.port}")
        await made.start()
        await made.handle(trace("aiortc_echo"))
        await made.stop()
        messages = [message for message in await inbox.have(WHOLE) if message.correlation_id == call]
    sent = made.journal.sent(call)
    assert [packet.timestamp_us for packet in sent] == [message.timestamp_us for message in messages]
    assert [packet.payload_type for packet in sent] == [message.payload_type for message in messages]
    assert (sent[1].source, sent[1].destination) == ("127.0.0.1:51538", "127.0.0.1:8088")
    assert sent[1].summary == "INVITE sip:echotest@janus-ref SIP/2.0"
    assert sent[1].size > len(messages[1].payload)
    assert sent[2].summary.startswith('{"name":"ice-state","event":{"ice":"gathering"')


def test_the_journal_is_bounded_and_statistics_push_out_statistics() -> None:
    journal = Journal(max_calls=2, max_packets=3, max_statistics=2)
    here = ip_address("127.0.0.1")
    template = HepTemplate(src=here, dst=here, src_port=1, dst_port=2)
    for call in ("a", "b", "c"):
        for number in range(10):
            for statistics in (False, True):
                journal.note(call, template, number, 100, b"x" * 9999, 9999, statistics=statistics)
    assert journal.forgotten == 1
    assert journal.sent("a") == []
    assert [packet.timestamp_us for packet in journal.sent("c")] == [7, 8, 8, 9, 9]


async def test_statistics_are_the_first_to_go() -> None:
    made = handler(server=f"tcp://127.0.0.1:{free_port()}", spool=False)
    await made.start()
    (client,) = made._clients
    assert isinstance(client, TcpClient)
    client.outbox.max_queued = 20
    await made.handle([of_handle(MediaStats(media="audio"), number) for number in range(100)])
    await made.handle([of_handle(IceState(ice="ready"), number) for number in range(5)])
    queued = [packet.data for packet in client.outbox.waiting()]
    assert [b"ice-state" in packet for packet in queued] == [False] * 15 + [True] * 5
    assert all(receive(packet) for packet in queued)
    await made.stop()


@pytest.mark.parametrize(("case", "code"), [("aiortc_echo", "ended_by_app"), ("dtls_badfp", "fingerprint_mismatch")])
async def test_the_bye_tells_what_the_diagnosis_says(case: str, code: str) -> None:
    clock, inbox = FakeClock(), Inbox()
    async with HepListener(inbox, port=0) as listener:
        made = handler(clock, server=f"udp://127.0.0.1:{listener.port}", events="jsep")
        await made.start()
        said: list[Event] = []

        def publish(body: Body, about: Event) -> None:
            verdict_event = event(body, emitter=about.emitter, timestamp=clock.wall_us(), session_id=about.session_id)
            said.append(replace(verdict_event, handle_id=about.handle_id, correlation_id=about.correlation_id))

        diagnosis = DiagnosisHandler(DiagnosisConfig(live=False), replace(context(clock, Path()), publish=publish))
        await diagnosis.start()

        async def pass_time(seconds: float) -> None:
            """In steps, as the bus hands over what is published between two timers."""
            for _ in range(min(20, int(seconds / 0.25) + 1)):
                clock.advance(min(seconds, 0.25))
                await made.handle(said)
                said.clear()

        before = None
        for item in trace(case):
            await pass_time((item.timestamp - (before or item.timestamp)) / 1e6)
            before = item.timestamp
            await diagnosis.handle([item])
            await made.handle([item])
        await pass_time(1.0)
        bye = (await inbox.have(3))[-1].payload
        await made.stop()
        await diagnosis.stop()
    assert bye.startswith(b"BYE ")
    assert f"X-Verdict: {code}\r\n".encode() in bye
