"""``appliance replay``: recorded calls explained as live ones are. Where they are shipped to is in ``ship``."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.core.clock import LoopClock
from appliance.core.events import VERDICT_SCHEMA, Event, External, event
from appliance.core.stamp import Stamper
from appliance.diagnosis.calls import split
from appliance.diagnosis.explain import Explanation, explain
from appliance.diagnosis.lines import call_lines
from appliance.intake.recorded import Recording, RecordingError, read_recording, read_together

MAX_KEY_LOG = 64 * 2**20
"""Bytes that are read of an SSLKEYLOGFILE."""

Say = Callable[[str], None]


class ReplayError(RuntimeError):
    """Nothing could be read, or a destination can't be used; the message says why."""


class Call(Struct):
    """One PeerConnection of a recording."""

    explanation: Explanation
    events: list[Event]


class Options(Struct, frozen=True, kw_only=True):
    """What to do beside explaining."""

    as_json: bool = False
    homer: str | None = None
    store: str | None = None
    metrics: bool = False
    keys: Path | None = None
    """An SSLKEYLOGFILE that opens the SRTCP and TLS of captures."""
    together: bool = False
    """The files are parts of one, and are named after the first."""
    speed: Literal["full", "real"] = "full"
    now: bool = False
    """The last event is of now; at real speed, the first."""

    @property
    def ships(self) -> bool:
        """Somebody wants the events."""
        return self.metrics or self.homer is not None or self.store is not None


def explain_recording(recording: Recording, stamper: Stamper) -> list[Call]:
    """Every call in it, in the order in which they began; the events get their ids and correlation."""
    recording.events = [stamper.stamp(item) for item in recording.events]
    return [
        Call(explain(events, final=True), events)
        for events in split(recording.events).values()
        if any(item.handle_id is not None for item in events)
    ]


def explain_files(paths: Sequence[Path], options: Options, say: Say, note: Say) -> tuple[int, list[Event]]:
    """Print every call; how many files could not be read, and the events with their verdicts where they are wanted.

    :raises ReplayError: the keys can't be read.
    """
    clock = LoopClock()
    stamper = Stamper(clock)
    unreadable = 0
    key_log = _key_log(options.keys)
    everything: list[Event] = []
    for path in paths[:1] if options.together else paths:
        try:
            recording = read_together(paths, key_log) if options.together else read_recording(path, key_log)
        except RecordingError as problem:
            note(str(problem))
            unreadable += 1
            continue
        if options.now:
            recording.events = _moved(recording.events, clock.wall_us(), to_start=options.speed == "real")
        calls = explain_recording(recording, stamper)
        _notes(recording, note)
        for call in calls:
            for line in _json(path, call) if options.as_json else _words(path, call):
                say(line)
        if not calls:
            note(f"{path}: {len(recording.events)} events, none of a call")
        if options.ships:
            everything += _with_verdicts(recording.events, calls, stamper)
    everything.sort(key=lambda item: item.timestamp)
    return unreadable, everything


def _key_log(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_LOG)
    except OSError as problem:
        raise ReplayError(f"{path}: {problem.strerror or problem}") from None


def _json(path: Path, call: Call) -> Iterator[str]:
    whole = msgspec.to_builtins(call.explanation)
    yield msgspec.json.encode({"file": path.name, **whole}).decode()


def _words(path: Path, call: Call) -> Iterator[str]:
    explained: dict[str, Any] = msgspec.to_builtins(call.explanation)
    yield ""
    yield f"{path.name}: call {explained['correlation_id']}"
    yield from call_lines(explained)
    yield f"What to do     {explained['verdict']['advice']}"
    for item in explained["evidence"]:
        seconds = (item["timestamp_us"] - (explained["started_us"] or item["timestamp_us"])) / 1e6
        yield f"  {seconds:+9.3f} s  {item['text']}"


def _notes(recording: Recording, note: Say) -> None:
    if recording.refused:
        note(f"{recording.name}: {recording.refused} lines are no events; {recording.problems[0]}")
    tally = recording.tally
    if tally is None:
        return
    for count, what in (
        (tally.unreadable, "API messages are cut or no JSON"),
        (tally.tls, "TCP connections are encrypted, so signalling in them is unknown"),
        (tally.skipped.cut_records, "packets are cut at the file's end"),
        (tally.skipped.fragments, "IP packets lack a fragment"),
        (tally.left_out, "conversations, streams or events are beyond what is kept at once"),
    ):
        if count:
            note(f"{recording.name}: {count} {what}")


def _moved(events: list[Event], now_us: int, *, to_start: bool) -> list[Event]:
    if not events:
        return events
    times = [item.timestamp for item in events]
    shift = now_us - (min(times) if to_start else max(times))
    return [replace(item, timestamp=item.timestamp + shift) for item in events]


def _with_verdicts(events: list[Event], calls: list[Call], stamper: Stamper) -> list[Event]:
    """The events, and each call's verdict behind its last one, as the collector would have put it there."""
    verdicts: list[Event] = []
    for call in calls:
        last = next(item for item in reversed(call.events) if item.handle_id is not None)
        said = event(
            External(schema=VERDICT_SCHEMA, data=msgspec.to_builtins(call.explanation.verdict)),
            emitter=last.emitter,
            timestamp=max(last.timestamp, call.explanation.ended_us or 0),
            session_id=last.session_id,
            handle_id=last.handle_id,
            opaque_id=last.opaque_id,
        )
        verdicts.append(replace(stamper.follow_up(said, last), correlation_id=call.explanation.correlation_id))
    return events + verdicts
