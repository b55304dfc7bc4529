"""Who talks: meters on what one participant publishes, and what its room is told of them."""

from collections.abc import Callable

from appliance.plugins.videoroom.ears import TalkMeter
from appliance.plugins.videoroom.messages import JsonObject
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.rooms import Room
from appliance.plugins.videoroom.streams import PublishedStream


class Talking:
    """Of one participant; ``publish`` takes the plugin events."""

    def __init__(self, room: Room, participant: Participant, publish: Callable[[JsonObject], None]) -> None:
        self._room = room
        self._participant = participant
        self._publish = publish
        self._meters: dict[str, TalkMeter] = {}
        self._packets: int | None = None
        self._average: int | None = None
        """The participant's own thresholds; ``None``: the room's."""

    def configure(self, body: JsonObject) -> None:
        """Take other thresholds from a request, where it has some."""
        if "audio_active_packets" not in body and "audio_level_average" not in body:
            return
        self._packets = body.get("audio_active_packets") or self._packets
        self._average = body.get("audio_level_average", self._average)
        for meter in self._meters.values():
            meter.configure(*self._thresholds)

    def listen(self) -> None:
        """Measure what has audio levels and is not measured yet, where the room wants to know it."""
        if not self._room.config.audiolevel_event:
            return
        for stream in self._participant.streams:
            extension_id = stream.extension_ids.get("audiolevel_ext_id")
            if extension_id is None or stream.mid in self._meters:
                continue

            def changed(talks: bool, mean: float, stream: PublishedStream = stream) -> None:
                self._tell(stream, talks=talks, mean=mean)

            self._meters[stream.mid] = TalkMeter(extension_id, *self._thresholds, changed)
            self._participant.ears.add(stream.mid, self._meters[stream.mid])

    def end(self) -> None:
        """Nothing is published any more, and the ears are deaf already."""
        self._meters.clear()

    @property
    def _thresholds(self) -> tuple[int, int]:
        config = self._room.config
        return (
            self._packets or max(1, config.audio_active_packets),
            config.audio_level_average if self._average is None else self._average,
        )

    def _tell(self, stream: PublishedStream, *, talks: bool, mean: float) -> None:
        stream.talking = talks
        data = {
            "videoroom": "talking" if talks else "stopped-talking",
            "room": self._room.id,
            "id": self._participant.id,
            "mindex": stream.mindex,
            "mid": stream.mid,
            "audio-level-dBov-avg": round(mean, 6),
        }
        self._room.tell(data)
        self._publish(data)
