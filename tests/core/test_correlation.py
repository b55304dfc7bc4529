from appliance.core.correlation import Correlator, safe_server_name
from appliance.core.events import Body, Connection, Event, Handle, IceState, Jsep, Session, SessionDescription, event

OFFER = Jsep(owner="remote", jsep=SessionDescription("offer", "v=0"))
ANSWER = Jsep(owner="local", jsep=SessionDescription("answer", "v=0"))
HANGUP = Connection(connection="hangup", reason="Janus API")
DETACHED = Handle(name="detached", plugin="janus.plugin.echotest")


def about(body: Body, handle: int | None = 9, server: str = "gw") -> Event:
    return event(body, emitter=server, timestamp=1, session_id=7, handle_id=handle)


def test_a_handle_counts_its_peer_connections() -> None:
    correlator = Correlator()
    seen = [correlator.of(about(body)) for body in (OFFER, ANSWER, HANGUP, OFFER, ANSWER, HANGUP, DETACHED)]
    assert seen == ["7-9-1@gw"] * 3 + ["7-9-2@gw"] * 4
    assert len(correlator) == 0


def test_a_renegotiation_stays_the_same_connection() -> None:
    correlator = Correlator()
    assert {correlator.of(about(body)) for body in (OFFER, ANSWER, OFFER, ANSWER)} == {"7-9-1@gw"}


def test_what_comes_late_belongs_to_the_connection_that_ended() -> None:
    correlator = Correlator()
    correlator.of(about(OFFER))
    correlator.of(about(HANGUP))
    assert correlator.of(about(IceState(ice="failed"))) == "7-9-1@gw"


def test_a_session_has_no_connection() -> None:
    assert Correlator().of(about(Session(name="created"), handle=None)) is None


def test_servers_are_told_apart_and_their_names_made_safe() -> None:
    correlator = Correlator()
    assert correlator.of(about(OFFER, server="a")) == "7-9-1@a"
    assert correlator.of(about(HANGUP, server="a")) == "7-9-1@a"
    assert correlator.of(about(OFFER, server="b")) == "7-9-1@b"
    assert safe_server_name('my "server"\r\n') == "my--server---"
    assert safe_server_name("") == "unnamed"


def test_memory_is_bounded() -> None:
    correlator = Correlator(max_handles=10)
    for handle in range(1, 26):
        correlator.of(about(OFFER, handle=handle))
    assert len(correlator) == 10
    assert correlator.forgotten == 15
