"""How calls end, and how they stand."""

from collections.abc import Callable

import pytest

from appliance.core.events import Core, DtlsAlert, Handle, Shutdown
from tests.diagnosis.build import Call

DETACHED = Handle(name="detached", plugin="janus.plugin.echotest")
STORIES: list[tuple[str, str, str, Callable[[], Call]]] = [
    ("normal_close", "good", "likely", lambda: Call().up().media(5).hangup("DTLS alert")),
    (
        "normal_close",
        "good",
        "certain",
        lambda: (
            Call().up().media(5).detail(alert=DtlsAlert("received", "warning", 0, "close_notify")).hangup("DTLS alert")
        ),
    ),
    ("ended_by_app", "good", "certain", lambda: Call().up().media(5).hangup("Janus API")),
    ("ended_by_app", "good", "likely", lambda: Call().up().media(5).session("destroyed").media(1).detach()),
    ("ended_by_app", "good", "likely", lambda: Call().up().media(5).detach()),
    # Hanging up the line after saying goodbye is no news.
    (
        "ended_by_app",
        "good",
        "likely",
        lambda: Call().up().media(5).session("destroyed").detach().after(0.2).transport("disconnected"),
    ),
    ("ended_by_admin", "good", "certain", lambda: Call().up().media(5).hangup("Admin API")),
    ("ended_by_plugin", "good", "certain", lambda: Call().up().media(5).hangup("Close PC")),
    (
        "client_gone",
        "notice",
        "possible",
        lambda: Call().up().media(5).transport("disconnected").session("destroyed").detach(),
    ),
    (
        "server_shutdown",
        "notice",
        "certain",
        lambda: Call().up().media(5).add(Shutdown(signum=15), handle=None, session=None),
    ),
    (
        "server_shutdown",
        "notice",
        "certain",
        lambda: Call().up().media(5).after(9).add(Core(status="started"), handle=None, session=None),
    ),
    ("server_shutdown", "notice", "certain", lambda: Call().up().media(5).hangup("Server shutdown").detach()),
    ("end_untold", "notice", "likely", lambda: Call().up().media(5).after(30).gone()),
    ("end_untold", "notice", "likely", lambda: Call().settled().after(30).gone()),
    ("no_peer_connection", "good", "certain", lambda: Call().after(30).asked(DETACHED)),
    ("ended_unknown", "notice", "possible", lambda: Call().up().media(5).hangup("Something new")),
    ("cancelled", "notice", "likely", lambda: Call().settled().after(0.5).hangup()),
    ("no_peer_connection", "good", "certain", lambda: Call().after(5).detach()),
]


@pytest.mark.parametrize(("code", "severity", "confidence", "story"), STORIES)
def test_the_end_has_its_word(code: str, severity: str, confidence: str, story: Callable[[], Call]) -> None:
    verdict = story().verdict()
    assert (verdict.code, verdict.severity, verdict.confidence) == (code, severity, confidence)
    assert verdict.evidence
    assert verdict.final


@pytest.mark.parametrize(
    ("code", "story"),
    [
        ("healthy", lambda: Call().up().media(5)),
        ("in_progress", lambda: Call().settled()),
        ("no_peer_connection", Call),
    ],
)
def test_a_live_call_stands(code: str, story: Callable[[], Call]) -> None:
    verdict = story().verdict(final=False)
    assert (verdict.code, verdict.severity, verdict.final) == (code, "good", False)


def test_the_session_may_end_before_the_hangup_is_told() -> None:
    """Seen of Janus 1.4.1: destroyed, then the hangup that was asked for before, in the same millisecond."""
    call = Call().up().media(5).session("destroyed").hangup("Janus API").detach()
    assert call.code() == "ended_by_app"


def test_what_comes_after_the_end_changes_no_duration() -> None:
    call = Call().up().media(5).session("destroyed")
    ended = call.explained().ended_us
    call.after(3).stats(rate=0).detach()
    assert call.explained().ended_us == ended


def test_a_hole_lowers_the_confidence_and_stands_beside() -> None:
    whole = Call().up().media(5).hangup().verdict()
    holed = Call().up().media(5).gap(media=40).hangup()
    verdict = holed.verdict()
    assert (whole.confidence, verdict.confidence) == ("certain", "likely")
    assert verdict.code == whole.code
    assert verdict.also == ("evidence_incomplete",)
    assert "40 events" in verdict.sentence
    gap = next(item.id for item in holed.events if item.type == 256)
    assert gap in verdict.evidence


def test_what_rests_on_absence_is_only_possible_with_a_hole() -> None:
    call = Call().offer().local().answer().after(3).gap(webrtc=3).after(12)
    verdict = call.verdict()
    assert (verdict.code, verdict.confidence) == ("no_remote_candidates", "possible")


def test_lost_statistics_tell_nothing_of_a_handshake() -> None:
    call = Call().connected().gap(media=3).after(20).detail().hangup("DTLS timeout")
    verdict = call.verdict()
    assert (verdict.code, verdict.confidence, verdict.also) == ("dtls_no_response", "certain", ("evidence_incomplete",))


def test_with_nothing_but_a_hole_nothing_is_said() -> None:
    verdict = Call().gap().detach().verdict()
    assert (verdict.code, verdict.severity) == ("evidence_incomplete", "notice")


@pytest.mark.parametrize(("reason", "words"), [("Something new", "Something new"), ("", "none given")])
def test_an_unknown_reason_is_quoted(reason: str, words: str) -> None:
    assert Call().up().media(5).hangup(reason).verdict().sentence.endswith(f"{words}.")


def test_of_a_client_that_only_listens_the_first_media_are_ours() -> None:
    call = Call().up("audio recvonly", answer=("audio sendonly",)).media(3, rate=0, sent=50)
    phases = {phase.name: phase for phase in call.explained().phases}
    assert phases["first_media"].outcome == "ok"
    assert phases["first_media"].duration_us == 1_000_000
    assert phases["media"].outcome == "pending"


def test_while_nothing_came_the_first_media_are_awaited() -> None:
    """Though we send: the client had agreed to."""
    call = Call().up().media(3, rate=0, sent=50)
    phases = {phase.name: phase.outcome for phase in call.explained().phases}
    assert (phases["first_media"], phases["media"]) == ("pending", "skipped")
