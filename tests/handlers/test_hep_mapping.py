"""The mapping as a capture server sees it: every message goes through the strict receiver."""

import json
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.events import (
    KINDS,
    EventType,
    Handle,
    IceState,
    Jsep,
    MediaStats,
    Plugin,
    RemoteCandidate,
    ReportBlock,
    RtcpReport,
    SelectedPair,
    SenderInfo,
    Session,
    Unknown,
    event,
)
from appliance.diagnosis.verdict import CODES
from appliance.handlers.hep.log_json import NAMES
from appliance.handlers.hep.mapping import HepMapper
from appliance.handlers.hep.outgoing import Outgoing
from appliance.handlers.hep.sip import CAUSES
from tests.handlers.hep_calls import (
    CASES,
    HANDLE,
    HANGUP,
    SESSION,
    T0,
    api_events,
    call,
    jsep,
    mapper,
    of_handle,
    pair,
    play,
    sip,
    stored,
    trace,
    verdict,
)


def whole(case: str, **changes: Any) -> tuple[HepMapper, list[Outgoing]]:
    target = mapper(**changes)
    messages = play(target, trace(case))
    return target, messages + target.flush()


def test_a_recorded_call_is_a_call_in_homer() -> None:
    target, messages = whole("aiortc_echo")
    rows = stored(messages)
    dialogue = [(row.src_port, row.dst_port, row.payload.partition("\r\n")[0]) for row in rows if row.payload_type == 1]
    assert dialogue == [
        (51538, 8088, "INVITE sip:echotest@janus-ref SIP/2.0"),
        (8088, 51538, "SIP/2.0 200 OK"),
        (8088, 51538, "INFO sip:opaque-echo@127.0.0.1 SIP/2.0"),
        (8088, 51538, "INFO sip:opaque-echo@127.0.0.1 SIP/2.0"),
        (51538, 8088, "BYE sip:echotest@janus-ref SIP/2.0"),
    ]
    call = "6720542861340463-3145832598425959-1@janus-ref"
    assert {row.correlation_id for row in rows if row.payload_type == 1} == {call}
    names = [json.loads(row.payload)["name"] for row in rows if row.payload_type == 100 and row.correlation_id == call]
    assert names[:6] == ["handle", "ice-state", "remote-candidate", "remote-candidate", "local-candidate", "ice-state"]
    assert names[6:15] == [
        "plugin", "selected-pair", "ice-state", "ice-state", "dtls-state", "dtls-state", "connection", "media-state",
        "media-state",
    ]  # fmt: skip
    assert names[-2:] == ["connection", "handle"]
    media = [row for row in rows if row.payload.startswith('{"name":"media-stats"')]
    assert len(media) == 27
    assert {(row.src, row.src_port, row.dst, row.dst_port, row.protocol) for row in media} == {
        ("127.0.0.1", 23039, "127.0.0.1", 55316, 17)
    }
    assert target.skipped == {"unattached": 21, "empty_report": 0, "invalid": 0, "replayed": 0}
    assert len(target) == 1, "the session's own record"


@pytest.mark.parametrize("case", CASES)
def test_every_recorded_event_becomes_a_message_that_is_stored(case: str) -> None:
    events = trace(case)
    target, messages = whole(case)
    rows = stored(messages)
    descriptions = [item for item in events if isinstance(item.event, Jsep)]
    told = [row for row in rows if row.payload_type == 1]
    byes = [row for row in told if row.payload.startswith("BYE ")]
    infos = [row for row in told if row.payload.startswith("INFO ")]
    made_up = [row for row in rows if row.payload_type == 5]
    assert all(json.loads(row.payload)["synthetic"] for row in made_up), "Janus tells no RTCP"
    assert len(told) - len(byes) - len(infos) == len(descriptions)
    assert len(rows) - len(byes) - len(infos) - len(made_up) == len(events) - target.skipped["unattached"]
    # Each PeerConnection ends once, and its BYE has the time of the end.
    assert sorted(row.correlation_id for row in byes) == sorted({str(item.correlation_id) for item in descriptions})
    ends = {item.timestamp for item in events if item.type in (EventType.HANDLE, EventType.WEBRTC)}
    assert {row.timestamp_us for row in byes} <= ends
    assert {row.timestamp_us for row in rows} <= {item.timestamp for item in events}
    assert target.skipped["invalid"] == target.cut == target.forgotten == 0


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("aiortc_echo", 'Q.850;cause=16;text="Janus API"'),
        ("dtls_badfp", 'Q.850;cause=16;text="DTLS alert"'),
        ("ice_wrongcand", 'Q.850;cause=3;text="ICE failed"'),
        ("vanish_http", 'Q.850;cause=102;text="Session timeout"'),
    ],
)
def test_the_bye_says_why(case: str, reason: str) -> None:
    assert sip(whole(case)[1])[-1]["reason"] == reason


def test_who_ended_it_sends_the_bye() -> None:
    for case, by_client in (("pc_close", True), ("ice_wrongcand", False), ("vanish_http", False)):
        bye = sip(whole(case)[1])[-1]
        assert bye["first"].startswith("BYE sip:echotest@") is by_client
        assert bye["x-synthetic"] == f"hangup by {'remote' if by_client else 'local'}"


def test_a_renegotiation_is_a_re_invite() -> None:
    messages = sip(whole("reneg_icerestart")[1])
    invites = [m for m in messages if m["first"].startswith("INVITE")]
    numbers = [int(m["cseq"].split()[0]) for m in messages if m["first"].startswith(("INVITE", "INFO"))
               and m["from"].endswith("=client")]  # fmt: skip
    assert numbers == list(range(1, len(numbers) + 1)), "requests of one side are numbered without a gap"
    assert len(invites) > 1
    assert "tag=" not in invites[0]["to"]
    assert all(m["to"].endswith(";tag=gateway") for m in invites[1:])
    assert [m.get("subject") for m in invites].count("ICE restart") == 1
    assert [m.get("subject") for m in invites].count("renegotiation") == len(invites) - 2
    branches = [m["via"] for m in messages if m["cseq"].endswith("INVITE")]
    assert branches[0::2] == branches[1::2], "an answer has the Via of its offer"
    assert len(set(branches)) == len(invites)


def test_the_gateway_calls_where_it_offers() -> None:
    _, messages = whole("videoroom_http")
    rows = [row for row in stored(messages) if row.payload_type == 1]
    offers = [row for row in rows if "X-Synthetic: offer from local" in row.payload]
    assert offers
    for row in offers:
        answer = next(
            other for other in rows
            if other.correlation_id == row.correlation_id and "X-Synthetic: answer from remote" in other.payload
        )  # fmt: skip
        assert (answer.src_port, answer.dst_port) == (row.dst_port, row.src_port)
        assert "From: <sip:videoroom@janus-ref>;tag=gateway\r\n" in row.payload
        assert "From: <sip:videoroom@janus-ref>;tag=gateway\r\n" in answer.payload


def test_the_description_is_the_body_and_it_is_marked_as_made_up() -> None:
    sdp = next(item.event.jsep.sdp for item in trace("chrome_echo_http") if isinstance(item.event, Jsep))
    invite = sip(whole("chrome_echo_http")[1])[0]
    assert invite["body"] == sdp
    assert invite["content-type"] == "application/sdp"
    assert "synthetic" in invite["user-agent"]
    assert invite["x-synthetic"] == "offer from remote"
    assert invite["max-forwards"] == "70"
    assert invite["contact"].startswith("<sip:")


def test_as_json_where_that_is_wanted() -> None:
    _, messages = whole("aiortc_echo", jsep_as_sip=False)
    rows = stored(messages)
    assert {row.payload_type for row in rows} == {5, 100}
    offer = next(json.loads(row.payload) for row in rows if '"name":"jsep"' in row.payload)
    assert offer["event"]["jsep"]["type"] == "offer"


# --- the end and the verdict ---------------------------------------------------------------------------------


def test_the_bye_waits_for_the_verdict() -> None:
    target = mapper()
    play(target, call())
    assert sip(target.take(of_handle(HANGUP, 100), 10.0)) == []
    assert target.next_due() == 12.0
    live = target.take(of_handle(verdict("in_progress", final=False), 150), 10.1)
    assert [row.payload_type for row in stored(live)] == [100]
    told = target.take(of_handle(verdict(), 200), 11.0)
    assert [row.payload_type for row in stored(told)] == [100, 1]
    (bye,) = sip(told)
    text = "DTLS alert; fingerprint_mismatch; The 'certificate' is not the one in the SDP."
    assert bye["reason"] == f'Q.850;cause=57;text="{text}"'
    assert bye["x-verdict"] == "fingerprint_mismatch"
    assert told[-1].timestamp_us == T0 + 100_000, "the time of the hangup, not of the verdict"
    assert target.due(12.0) == []


def test_the_bye_does_not_wait_for_ever() -> None:
    target = mapper()
    play(target, [*call(), of_handle(HANGUP, 100)], now=10.0)
    assert target.due(11.999) == []
    (bye,) = sip(target.due(12.0))
    assert bye["reason"] == 'Q.850;cause=16;text="DTLS alert"'
    assert "x-verdict" not in bye
    assert target.next_due() is None
    late = target.take(of_handle(verdict(), 5000), 15.0)
    assert [row.payload_type for row in stored(late)] == [100]


def test_a_call_ends_once() -> None:
    target = mapper()
    detached = Handle(name="detached", plugin="janus.plugin.echotest")
    play(target, [*call(), of_handle(HANGUP, 100), of_handle(HANGUP, 101), of_handle(detached, 102)])
    assert len(sip(target.flush())) == 1
    assert len(target) == 1, "only the session is left"


@pytest.mark.parametrize(
    ("session_end", "reason"),
    [
        (None, '16;text="Detach"'),
        ("destroyed", '16;text="Session destroyed"'),
        ("timeout", '102;text="Session timeout"'),
    ],
)
def test_a_handle_that_goes_without_a_hangup_ends_its_call(session_end: str | None, reason: str) -> None:
    target = mapper()
    play(target, call())
    if session_end:
        target.take(event(Session(name=session_end), emitter="gw-1", timestamp=T0, session_id=SESSION), 0.0)
    target.take(of_handle(Handle(name="detached", plugin="p"), 100), 0.0)
    (bye,) = sip(target.flush())
    assert bye["reason"] == f"Q.850;cause={reason}"


def test_an_end_without_an_offer_is_no_bye() -> None:
    target = mapper()
    play(target, [*api_events(), of_handle(HANGUP, 1)])
    assert target.flush() == []


def test_severity_decides_where_no_cause_is_near() -> None:
    ends = [("uplink_loss", "good", 16), ("uplink_loss", "notice", 16), ("uplink_loss", "fault", 41)]
    for code, severity, cause in [*ends, ("server_shutdown", "notice", 41)]:
        target = mapper()
        play(target, [*call(), of_handle(HANGUP, 100)])
        (bye,) = sip(target.take(of_handle(verdict(code, severity=severity), 101), 0.0))
        assert bye["reason"].startswith(f"Q.850;cause={cause};")


def test_causes_name_verdicts_that_exist() -> None:
    assert {code for code in CAUSES if code.islower()} <= set(CODES)


def test_an_answer_whose_offer_was_lost() -> None:
    target = mapper()
    (answer,) = sip(play(target, [*api_events(), of_handle(jsep("local", "answer"))]))
    assert answer["cseq"] == "1 INVITE"
    assert answer["from"].endswith(";tag=client")


def test_a_provisional_answer() -> None:
    target = mapper()
    messages = sip(play(target, [of_handle(jsep("remote", "offer")), of_handle(jsep("local", "pranswer"), 1)]))
    assert messages[1]["first"] == "SIP/2.0 183 Session Progress"


def test_a_description_of_another_kind_is_json() -> None:
    (row,) = stored(mapper().take(of_handle(jsep("remote", "rollback")), 0.0))
    assert row.payload_type == 100


# --- RTCP ----------------------------------------------------------------------------------------------------

BLOCK = ReportBlock(
    source_ssrc=305419896,
    fraction_lost=12,
    packets_lost=-7,
    highest_seq_no=65999,
    ia_jitter=31,
    lsr=3735928559,
    dlsr=65536,
)
SENDER = SenderInfo(ntp_sec=3897000000, ntp_frac=2147483648, rtp_timestamp=2881450, packets=990, octets=158400)


def test_a_sender_report_as_homer_has_it() -> None:
    report = RtcpReport(direction="in", packet_type=200, ssrc=3735928559, mid="0", sender_info=SENDER, blocks=(BLOCK,))
    (row,) = stored(play(mapper(), [*call(), of_handle(report, 9)])[-1:])
    assert (row.src, row.src_port, row.dst, row.dst_port) == ("203.0.113.5", 50000, "198.51.100.20", 10000)
    assert row.payload_type == 5
    assert json.loads(row.payload) == {
        "sender_information": {
            "ntp_timestamp_sec": 3897000000, "ntp_timestamp_usec": 2147483648, "rtp_timestamp": 2881450,
            "packets": 990, "octets": 158400,
        },
        "ssrc": 3735928559,
        "type": 200,
        "report_count": 1,
        "report_blocks": [
            {"source_ssrc": 305419896, "fraction_lost": 12, "packets_lost": -7, "highest_seq_no": 65999,
             "ia_jitter": 31, "lsr": 3735928559, "dlsr": 65536},
        ],
    }  # fmt: skip


def test_each_block_is_a_message() -> None:
    other = ReportBlock(1, 2, 3, 4, 5, 6, 7)
    report = RtcpReport(direction="out", packet_type=201, ssrc=1, blocks=(BLOCK, other))
    rows = stored(play(mapper(), [*call(), of_handle(report, 9)])[-2:])
    assert [json.loads(row.payload)["report_blocks"][0]["source_ssrc"] for row in rows] == [305419896, 1]
    assert {(row.src, row.dst) for row in rows} == {("198.51.100.20", "203.0.113.5")}
    assert all("sender_information" not in row.payload for row in rows)


def test_a_report_about_nobody() -> None:
    target = mapper()
    assert target.take(of_handle(RtcpReport(direction="in", packet_type=201, ssrc=1)), 0.0) == []
    assert target.skipped["empty_report"] == 1
    (row,) = stored(
        target.take(of_handle(RtcpReport(direction="in", packet_type=200, ssrc=1, sender_info=SENDER)), 0.0)
    )
    assert json.loads(row.payload)["report_blocks"] == []


# --- JSON ----------------------------------------------------------------------------------------------------


def test_a_record_names_its_event_and_has_ids_as_text() -> None:
    (row,) = stored(mapper().take(of_handle(IceState(ice="connected"), 5, opaque_id="me"), 0.0))
    assert json.loads(row.payload) == {
        "name": "ice-state",
        "event": {"ice": "connected", "stream_id": 1, "component_id": 1},
        "emitter": "gw-1",
        "type": 16,
        "subtype": 1,
        "timestamp": T0 + 5000,
        "session_id": str(SESSION),
        "handle_id": str(HANDLE),
        "opaque_id": "me",
        "id": "6",
    }


def test_every_kind_has_a_name() -> None:
    assert len(set(NAMES.values())) == len(NAMES) == len(KINDS) + 1
    assert NAMES[SelectedPair] == "selected-pair"


def test_what_is_not_known_goes_out_as_it_came() -> None:
    (row,) = stored(mapper().take(replace(of_handle(Unknown(content={"new": [1]})), type=16, subtype=99), 0.0))
    assert json.loads(row.payload)["event"] == {"new": [1]}


def test_a_token_stays_here() -> None:
    (row,) = stored(mapper().take(of_handle(Handle(name="attached", plugin="p", token="s3cret")), 0.0))
    assert "s3cret" not in row.payload


def test_only_statistics_and_reports_are_expendable() -> None:
    report = RtcpReport(direction="out", packet_type=201, ssrc=1, blocks=(BLOCK,))
    messages = play(mapper(), [*call(), of_handle(report), of_handle(MediaStats(media="audio"))])
    assert [message.expendable for message in messages] == [False] * (len(messages) - 2) + [True] * 2


# --- addresses -----------------------------------------------------------------------------------------------


def ends(messages: list[Outgoing]) -> tuple[str, str, int]:
    last = [message for message in messages if not message.payload.startswith(b"INFO ")][-1]
    stored([last])
    return last.template.source, last.template.destination, last.message.protocol


def test_signalling_is_between_the_apis_ends_and_media_between_the_pairs() -> None:
    target = mapper()
    play(target, call()[:-1])
    candidate = of_handle(RemoteCandidate(candidate="1 1 udp 1 203.0.113.5 50000 typ host"))
    client, server = "192.0.2.10:40000", "198.51.100.20:8188"
    assert ends(target.take(candidate, 0.0)) == (client, server, 6)
    assert ends(target.take(of_handle(IceState(ice="connecting")), 0.0)) == (server, client, 6)
    target.take(of_handle(pair()), 0.0)
    assert ends(target.take(of_handle(IceState(ice="connected")), 0.0)) == (
        "198.51.100.20:10000",
        "203.0.113.5:50000",
        17,
    )
    assert ends(target.take(candidate, 0.0)) == (client, server, 6)
    assert ends(target.take(of_handle(Plugin(plugin="p", data={})), 0.0)) == (server, client, 6)
    target.take(of_handle(pair(remote="203.0.113.99")), 0.0)
    assert ends(target.take(of_handle(IceState(ice="ready")), 0.0))[1] == "203.0.113.99:50000"


MAPPED = ip_address("::ffff:192.0.2.1")
"""Written in another way since Python 3.13."""


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({"ip": "192.0.2.10", "port": 40000}, ("192.0.2.10:40000", "127.0.0.1:8188")),
        ({"ip": "192.0.2.10"}, ("192.0.2.10:0", "127.0.0.1:8188")),
        ({"ip": "::ffff:192.0.2.10", "port": 1}, ("192.0.2.10:1", "127.0.0.1:8188")),
        ({"ip": "2001:db8::1", "port": 1}, ("[2001:db8::1]:1", "[::1]:8188")),
        ({"ip": "fe80::1%eth0", "port": 1}, ("[fe80::1]:1", "[::1]:8188")),
        ({"ip": "::2", "port": 1, "local_ip": "192.0.2.1", "local_port": 2}, ("[::2]:1", f"[{MAPPED}]:2")),
        ({"ip": "not an address", "port": 1}, ("127.0.0.1:0", "127.0.0.1:0")),
        ({"ip": 7, "port": "x"}, ("127.0.0.1:0", "127.0.0.1:0")),
        ({"ip": "192.0.2.10", "port": -1, "local_ip": [], "local_port": 99999}, ("192.0.2.10:0", "127.0.0.1:8188")),
    ],
)  # fmt: skip
def test_the_apis_ends(data: dict[str, Any], wanted: tuple[str, str]) -> None:
    offer = of_handle(jsep("remote", "offer"))
    assert ends(play(mapper(), [*api_events(**data), offer]))[:2] == wanted


def test_the_servers_address_where_events_do_not_tell_it() -> None:
    target = mapper(api_address=ip_address("198.51.100.1"))
    assert ends(play(target, [*api_events(), of_handle(jsep("remote", "offer"))]))[1] == "198.51.100.1:8188"


def test_a_via_names_the_transport() -> None:
    for transport, word in (
        ("janus.transport.websockets", "WS"),
        ("janus.transport.http", "TCP"),
        ("janus.transport.pfunix", "TCP"),
    ):
        (invite,) = sip(play(mapper(), [*api_events(transport=transport), of_handle(jsep("remote", "offer"))]))
        assert invite["via"].startswith(f"SIP/2.0/{word} ")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.0.2.1:10000 [host,udp] <-> 192.0.2.2:5000 [srflx,udp]", ("192.0.2.1:10000", "192.0.2.2:5000", 17)),
        ("192.0.2.1:10000 [host,tcp] <-> 192.0.2.2:5000 [prflx,tcp]", ("192.0.2.1:10000", "192.0.2.2:5000", 6)),
        ("2001:db8::1:100 [host,udp] <-> 2001:db8::2:500 [host,udp]", ("[2001:db8::1]:100", "[2001:db8::2]:500", 17)),
        ("x.local:1 [host,udp] <-> 192.0.2.2:5000 [srflx,udp]", ("127.0.0.1:0", "127.0.0.1:0", 6)),
        ("nonsense", ("127.0.0.1:0", "127.0.0.1:0", 6)),
    ],
)  # fmt: skip
def test_a_pair_as_text(text: str, wanted: tuple[str, str, int]) -> None:
    target = mapper()
    target.take(of_handle(SelectedPair(pair=text)), 0.0)
    assert ends(target.take(of_handle(IceState(ice="ready")), 0.0)) == wanted
