from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from appliance.commands.replay import explain_recording
from appliance.core.bus import EventBus
from appliance.core.events import (
    CALL_SCHEMA,
    Body,
    Connection,
    Event,
    External,
    Gap,
    Handle,
    Session,
    encode_json,
    event,
)
from appliance.core.handler import HandlerContext
from appliance.core.stamp import Stamper
from appliance.diagnosis.verdict import CODES, SCHEMA, Verdict
from appliance.handlers.diagnosis import GRACE_S, DiagnosisConfig, DiagnosisHandler
from appliance.intake.recorded import read_recording
from tests.clock import FakeClock
from tests.diagnosis.build import Call, recording


class Desk:
    """The handler, a clock, and what it said."""

    def __init__(self, **config: Any) -> None:
        self.clock = FakeClock()
        self.said: list[tuple[dict[str, Any], Event]] = []
        self.records: list[dict[str, Any]] = []
        self.context = HandlerContext(
            clock=self.clock,
            data_dir=Path("unused"),
            server_name="collector",
            publish=self.publish,
            bus=EventBus(self.clock),
            measured=[],
        )
        self.handler = DiagnosisHandler(DiagnosisConfig(**config), self.context)

    def publish(self, body: Body, about: Event) -> None:
        assert isinstance(body, External)
        if body.schema == CALL_SCHEMA:
            self.records.append(body.data)
            return
        assert body.schema == SCHEMA
        self.said.append((body.data, about))

    @property
    def codes(self) -> list[str]:
        return [data["code"] for data, _ in self.said]

    async def play(self, events: Iterable[Event]) -> "Desk":
        """Hand events over at their own pace."""
        start = None
        for item in events:
            start = item.timestamp if start is None else start
            due = 1000.0 + (item.timestamp - start) / 1e6
            if due > self.clock.now:
                self.clock.advance(due - self.clock.now)
            await self.handler.handle([item])
        return self

    def counts(self) -> dict[str, float]:
        return {counter.name + counter.labels.get("kind", ""): counter.value for counter in self.handler.measure()}


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.handler.start()
    return desk


async def test_the_final_word_comes_a_moment_after_the_end(desk: Desk) -> None:
    await desk.play(Call().up().media(5).hangup("Janus API").events)
    assert desk.codes == ["healthy"]
    desk.clock.advance(GRACE_S + 0.01)
    _, (data, about) = desk.said
    assert (data["code"], data["final"]) == ("ended_by_app", True)
    assert (about.session_id, about.handle_id, about.correlation_id) == (7, 9, "7-9-1@gw")
    assert data["correlation_id"] == "7-9-1@gw"
    assert data["evidence"]
    assert len(desk.handler._calls) == 0
    desk.clock.advance(60)
    assert len(desk.said) == 2


async def test_a_call_that_is_over_has_one_record_with_its_verdict(desk: Desk) -> None:
    await desk.play(Call().up().media(5).hangup("Janus API").events)
    assert desk.records == []
    desk.clock.advance(GRACE_S + 0.01)
    (found,) = desk.records
    assert found["code"] == desk.codes[-1] == "ended_by_app"
    assert found["correlation_id"] == "7-9-1@gw"


@pytest.mark.parametrize("reason", ["Something new", None])
async def test_an_end_for_a_reason_that_says_nothing_is_told_as_that(
    desk: Desk, reason: str | None, tmp_path: Path
) -> None:
    """A reason that is not known, or none, as of a Janus before 0.4.1: live, and from the events that were kept."""
    told = Call().up().media(5).add(Connection(connection="hangup", reason=reason)).events
    await desk.play(told)
    desk.clock.advance(GRACE_S + 0.01)
    assert desk.codes == ["healthy", "ended_unknown"]
    data = desk.said[-1][0]
    assert (data["actor"], data["confidence"], data["evidence"]) == ("server operator", "possible", (told[-1].id,))
    kept = tmp_path / "kept.jsonl"
    kept.write_bytes(b"\n".join(map(encode_json, told)))
    (call,) = explain_recording(read_recording(kept), Stamper(desk.clock))
    assert call.explanation.verdict.code == "ended_unknown"


async def test_the_verdict_is_its_struct(desk: Desk) -> None:
    await desk.play(Call().up().media(5).hangup().events)
    desk.clock.advance(1)
    verdict = msgspec.convert(desk.said[-1][0], Verdict)
    assert verdict.code in CODES
    assert verdict.sentence.startswith("The application ended the call")


async def test_what_follows_the_final_word_is_not_judged_again(desk: Desk) -> None:
    call = Call().up().media(5).hangup().after(2).detach().session("destroyed")
    await desk.play(call.events)
    desk.clock.advance(5)
    assert desk.codes == ["healthy", "ended_by_app"]


async def test_the_last_counters_count(desk: Desk) -> None:
    """They come with the end or just after it."""
    call = Call().settled().after(30).ice("failed").hangup("ICE failed").after(0.1).stun(60)
    await desk.play(call.events)
    desk.clock.advance(1)
    assert desk.codes[-1] == "udp_blocked_or_firewall"


async def test_a_handle_has_one_verdict_for_each_connection(desk: Desk) -> None:
    first = Call().up().media(5).hangup()
    second = Call().at(20).up().media(5).hangup("Admin API")
    later = [replace(item, correlation_id="7-9-2@gw") for item in second.events[2:]]
    await desk.play([*first.events, *later])
    desk.clock.advance(1)
    assert [(data["code"], data["correlation_id"]) for data, _ in desk.said if data["final"]] == [
        ("ended_by_app", "7-9-1@gw"),
        ("ended_by_admin", "7-9-2@gw"),
    ]


async def test_a_handle_without_a_connection_gets_no_verdict(desk: Desk) -> None:
    await desk.play(Call().after(3).detach().events)
    desk.clock.advance(5)
    assert desk.said == []


async def test_a_sessions_end_ends_its_calls(desk: Desk) -> None:
    call = Call().up().media(5).session("timeout")
    other = [replace(item, handle_id=10, correlation_id="7-10-1@gw") for item in Call().up().events[1:]]
    await desk.play(sorted([*call.events, *other], key=lambda item: item.timestamp))
    desk.clock.advance(1)
    assert sorted(data["correlation_id"] for data, _ in desk.said if data["final"]) == ["7-10-1@gw", "7-9-1@gw"]
    assert {data["code"] for data, _ in desk.said if data["final"]} == {"session_timeout"}


async def test_a_live_fault_opens_and_resolves(desk: Desk) -> None:
    call = Call().up().media(12).media(15, lost=0.2).media(30)
    await desk.play(call.events)
    assert desk.codes == ["healthy", "uplink_loss", "healthy"]
    assert [data["final"] for data, _ in desk.said] == [False, False, False]
    assert desk.said[-1][0]["resolves"] == "uplink_loss"


async def test_a_short_fault_is_no_news(desk: Desk) -> None:
    """It must hold for two looks; the loss window alone is above its threshold for a few seconds."""
    await desk.play(Call().up().media(12).media(2, lost=0.06).media(20).events)
    assert desk.codes == ["healthy"]


async def test_a_flickering_fault_is_said_once(desk: Desk) -> None:
    call = Call().up().media(10)
    for _ in range(10):
        call.media(4, lost=0.2).media(3)
    await desk.play(call.events)
    assert desk.codes == ["healthy", "uplink_loss"]


async def test_silence_is_noticed_without_an_event(desk: Desk) -> None:
    """A Janus whose client names no candidate says nothing more, for ever."""
    await desk.play(Call().offer().local().answer().events)
    assert desk.said == []
    desk.clock.advance(8)
    assert desk.codes == ["no_remote_candidates"]


async def test_a_late_success_resolves(desk: Desk) -> None:
    call = Call().offer().local().answer().after(9).remote().ice("connecting").ice("connected").dtls("connected")
    call.add(Connection(connection="webrtcup")).media(20)
    await desk.play(call.events)
    assert desk.codes == ["no_remote_candidates", "healthy"]
    assert desk.said[-1][0]["resolves"] == "no_remote_candidates"


async def test_a_clock_that_differs_from_the_servers_harms_nothing(desk: Desk) -> None:
    """The events' times are of 2023 here, and of 2026 in the recording; ours is neither."""
    await desk.play(recording("janus-1.4/aiortc_echo"))
    desk.clock.advance(1)
    assert desk.codes[-1] == "ended_by_app"
    assert not {data["code"] for data, _ in desk.said} - {"healthy", "ended_by_app"}


@pytest.mark.parametrize("case", ["chrome_echo_http", "reneg_icerestart", "data_only", "videoroom_http"])
async def test_a_recorded_call_without_fault_raises_no_alarm(desk: Desk, case: str) -> None:
    await desk.play(recording(f"janus-1.4/{case}"))
    desk.clock.advance(1)
    assert {data["severity"] for data, _ in desk.said if data["code"] != "media_stopped"} == {"good"}


async def test_live_can_be_switched_off() -> None:
    desk = Desk(live=False)
    await desk.handler.start()
    await desk.play(Call().up().media(12).media(15, lost=0.2).hangup().events)
    desk.clock.advance(1)
    assert desk.codes == ["uplink_loss"]


async def test_its_own_words_do_not_feed_it(desk: Desk) -> None:
    call = Call().up().media(2)
    call.add(External(schema=SCHEMA, data={"code": "healthy"}))
    await desk.play(call.events)
    assert desk.handler._calls["7-9-1@gw"].count == len(call.events) - 1


async def test_a_hole_in_the_queue_touches_every_call(desk: Desk) -> None:
    await desk.play(Call().up().media(5).events)
    gap = event(Gap(reason="queue_full", dropped={"webrtc": 3}), emitter="another", timestamp=1)
    await desk.handler.handle([gap])
    await desk.handler.handle(
        [replace(Call().hangup().events[-1], timestamp=Call().up().media(6).events[-1].timestamp)]
    )
    desk.clock.advance(1)
    assert "evidence_incomplete" in desk.said[-1][0]["also"]


async def test_memory_is_bounded() -> None:
    desk = Desk(max_calls=5)
    await desk.handler.start()
    for handle in range(1, 201):
        attached = event(Handle(name="attached", plugin="p"), emitter="gw", timestamp=1, session_id=1, handle_id=handle)
        await desk.handler.handle([attached])
    assert desk.counts()["diagnosis_calls"] == 5
    assert desk.counts()["diagnosis_calls_forgotten_total"] == 195
    assert len(desk.handler._watched) <= 105
    desk.clock.advance(10)
    assert len(desk.handler._urgent) + len(desk.handler._due) <= 105


async def test_it_counts_what_it_says(desk: Desk) -> None:
    assert desk.context.measured == [desk.handler]
    await desk.play(Call().up().media(12).hangup().events)
    desk.clock.advance(1)
    counts = desk.counts()
    assert counts["diagnosis_verdicts_published_totallive"] == 1
    assert counts["diagnosis_verdicts_published_totalfinal"] == 1
    assert counts["diagnosis_evaluations_total"] >= 3


async def test_stop_leaves_no_timer(desk: Desk) -> None:
    await desk.play(Call().up().media(2).hangup().events)
    await desk.handler.stop()
    desk.clock.advance(60)
    assert desk.said == []


async def test_no_number_of_calls_holds_the_loop_for_long(desk: Desk) -> None:
    """Looks are spread over ticks."""
    call = Call().up().media(1)
    for handle in range(200):
        for item in call.events[1:]:
            await desk.handler.handle([replace(item, handle_id=handle + 1, correlation_id=f"7-{handle + 1}-1@gw")])
    before = desk.counts()["diagnosis_evaluations_total"]
    desk.clock.advance(1.01)
    after = desk.counts()["diagnosis_evaluations_total"]
    assert 0 < after - before <= 50 * 2


async def test_a_session_without_calls_is_no_trouble(desk: Desk) -> None:
    await desk.handler.handle([event(Session(name="timeout"), emitter="gw", timestamp=1, session_id=99)])
    desk.clock.advance(1)
    assert desk.said == []


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ValueError, match="max_calls: 0 came, wanted 1 or more"):
        DiagnosisConfig(max_calls=0)
