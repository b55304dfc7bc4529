"""The mapping of what is not wanted, too much, or made to do harm."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.core.events import (
    Connection,
    Core,
    EventType,
    Handle,
    IceState,
    MediaStats,
    Plugin,
    Session,
    event,
)
from tests.handlers.hep_calls import (
    CALL,
    HANGUP,
    SESSION,
    T0,
    api_events,
    call,
    jsep,
    mapper,
    of_handle,
    play,
    sip,
    stored,
    trace,
    verdict,
)


def test_what_is_not_wanted_is_still_learnt_from() -> None:
    target = mapper(wanted=EventType.JSEP)
    messages = play(target, [*call(), of_handle(HANGUP, 50), of_handle(verdict(), 60)])
    assert [m["first"].partition(" ")[0] for m in sip(messages)] == ["INVITE", "SIP/2.0", "BYE"]
    assert len(messages) == 3
    assert messages[0].template.source == "192.0.2.10:40000"


def test_what_belongs_to_no_session() -> None:
    started = event(Core(status="started"), emitter="gw 1", timestamp=T0)
    target = mapper()
    assert target.take(started, 0.0) == []
    assert target.skipped["unattached"] == 1
    (row,) = stored(mapper(unattached=True).take(started, 0.0))
    assert row.correlation_id == "server@gw-1"


def test_a_session_without_a_handle_has_an_id_of_its_own() -> None:
    messages = play(mapper(), api_events())
    assert [row.correlation_id for row in stored(messages)] == [f"{SESSION}@gw-1", CALL]


def test_calls_are_bounded_and_those_that_go_say_goodbye() -> None:
    target = mapper(max_calls=10)
    play(target, [of_handle(jsep("remote", "offer")), of_handle(HANGUP, 1)])
    messages = [
        message
        for number in range(1000)
        for message in target.take(of_handle(IceState(ice="ready"), correlation_id=f"{number}@gw"), 0.0)
    ]
    assert len(target) == 10
    assert target.forgotten == 991
    assert len(sip(messages)) == 1
    assert target.flush() == []


def test_tables_of_other_things_are_bounded() -> None:
    target = mapper(max_calls=10)
    for number in range(200):
        for body in (Session(name="destroyed"), Handle(name="attached", plugin="p")):
            target.take(event(body, emitter="gw-1", timestamp=T0, session_id=number, handle_id=number), 0.0)
    assert len(target._session_ends) == len(target._legs._legs) == 10


def test_a_description_longer_than_a_packet_is_cut_and_marked() -> None:
    target = mapper()
    line = "a=" + "x" * 98 + "\r\n"
    for owner, kind in (("remote", "offer"), ("local", "answer")):
        (message,) = sip(target.take(of_handle(jsep(owner, kind, line * 1000)), 0.0))
        assert message["x-truncated"] == str(100_000 + 2000)
        assert message["body"] == line * (len(message["body"]) // len(line))
        assert len(message["body"]) > 60_000
    assert target.cut == 2


def test_json_longer_than_a_packet_is_cut_and_stays_json() -> None:
    target = mapper()
    for text in ("x" * 100_000, '"\\\x01' * 40_000, "\N{GRINNING FACE}" * 30_000):
        (row,) = stored(target.take(of_handle(Plugin(plugin="p", data={"x": text}), opaque_id="o" * 70_000), 0.0))
        cut = json.loads(row.payload)
        assert cut["event"]["truncated"] > 100_000
        assert cut["event"]["text"].startswith('{"plugin":"p"') or '"plugin":"p"' in cut["event"]["text"]
    assert target.cut == 3


def test_nothing_a_client_says_adds_a_header() -> None:
    evil = 'me\r\nX-Evil: "1"\r\n\r\nBYE sip:x SIP/2.0'
    attached = Handle(name="attached", plugin="janus.plugin.x\r\nX-Evil: 2")
    offer = of_handle(jsep("remote", "offer"), opaque_id=evil)
    (invite,) = sip(play(mapper(), [of_handle(attached), offer]))
    assert "x-evil" not in invite
    assert invite["from"] == "<sip:me--X-Evil---1-----BYE-sip-x-SIP-2.0@127.0.0.1>;tag=client"


ANY = st.text(st.characters(codec="utf-8"), max_size=80)


@settings(deadline=None)
@given(ANY, ANY, ANY, ANY, st.sampled_from(["offer", "answer"]), st.sampled_from(["remote", "local", "?"]))
def test_any_text_is_stored(opaque: str, sdp: str, reason: str, emitter: str, kind: str, owner: str) -> None:
    target = mapper()
    items = [
        replace(of_handle(body, opaque_id=opaque), emitter=emitter)
        for body in (jsep(owner, kind, sdp), Connection(connection="hangup", reason=reason), verdict())
    ]
    stored(play(target, items))


def test_an_id_that_no_packet_carries_is_counted() -> None:
    target = mapper()
    assert target.take(of_handle(IceState(ice="ready"), correlation_id='a"b'), 0.0) == []
    assert target.skipped["invalid"] == 1


def test_what_is_told_again_is_known_and_not_sent_again() -> None:
    items = trace("aiortc_echo")
    up = next(n for n, item in enumerate(items) if item.body == Connection(connection="webrtcup"))
    target = mapper()
    assert play(target, [replace(item, replayed=True) for item in items[: up + 1]]) == []
    assert target.skipped["replayed"] > 10
    rest = stored(play(target, items[up + 1 :]) + target.flush())
    # The BYE of a call whose INVITE went out before the restart still belongs to it.
    assert [row.payload.split(" ")[0] for row in rest if row.payload_type == 1] == ["BYE"]


@pytest.mark.parametrize(
    ("jitter_ms", "ticks"), [(1e308, 2**32 - 1), (float("inf"), 2**32 - 1), (float("nan"), 0), (-1.0, 0), (2.0, 96)]
)
def test_a_report_made_of_figures_beyond_measure_has_what_its_field_holds(jitter_ms: float, ticks: int) -> None:
    figures = MediaStats(
        media="audio", base=48_000, packets_received=9, lost=1, packets_sent=9, lost_by_remote=1, rtt=jitter_ms,
        jitter_local=jitter_ms, jitter_remote=jitter_ms,
    )  # fmt: skip
    rows = stored(play(mapper(), [of_handle(figures)]))
    reports = [json.loads(row.payload) for row in rows if row.payload_type == 5]
    assert [report["report_blocks"][0]["ia_jitter"] for report in reports] == [ticks, ticks]
