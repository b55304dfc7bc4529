"""What is recorded of one participant: a file for each of its streams, from when it is wanted to when it isn't."""

from appliance.plugins.recordings import Recording, Recordings, as_part, is_name
from appliance.plugins.videoroom.ears import Ears
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject
from appliance.plugins.videoroom.streams import EXTENSION_KEYS, PublishedStream

URIS = {key: uri for uri, key in EXTENSION_KEYS.items()}


class Tape:
    """The recordings of one participant; its ears hear what goes into them."""

    def __init__(self, recordings: Recordings, ears: Ears) -> None:
        self.wanted = False
        self._recordings = recordings
        self._ears = ears
        self._name: str | None = None
        self._folder = ""
        self._taken: dict[str, Recording] = {}
        """By mid."""

    def want(self, *, wanted: bool, owner: str, name: str | None, folder: str) -> None:
        """Record, or no longer. Files are named ``name``, or by ``owner`` and the time; those begun go on."""
        if wanted == self.wanted:
            return
        self.wanted = wanted
        if wanted:
            self._name = name or f"{owner}-{self._recordings.clock.wall_us()}"
            self._folder = folder
        else:
            self.stop()

    def record(self, streams: list[PublishedStream]) -> list[str]:
        """Begin files for what is to be recorded and is not yet; the mids of pictures, which need a key frame."""
        begun = []
        for stream in streams if self.wanted else ():
            codec = "text" if stream.kind == "data" else stream.codec
            if stream.disabled or codec is None or stream.mid in self._taken:
                continue
            extensions = {number: URIS[key] for key, number in stream.extension_ids.items()}
            name = f"{self._name}-{stream.kind}-{stream.mindex}"
            recording = self._recordings.start(name, stream.kind, codec, folder=self._folder, extensions=extensions)
            if recording is None:
                continue
            self._taken[stream.mid] = recording
            if stream.kind != "data":
                self._ears.add(stream.mid, recording.rtp)
            if stream.kind == "video":
                begun.append(stream.mid)
        return begun

    def text(self, message: str) -> None:
        """A message of its data channel."""
        for recording in self._taken.values():
            if recording.kind == "data":
                recording.text(message)

    def stop(self) -> None:
        """End every file; what is wanted stays so."""
        for mid, recording in self._taken.items():
            if recording.kind != "data":
                self._ears.remove(mid, recording.rtp)
            recording.close()
        self._taken.clear()

    @property
    def files(self) -> dict[str, str]:
        """Their names by mid."""
        return {mid: recording.name for mid, recording in self._taken.items()}


def owner_of(room_id: object, user_id: object) -> str:
    """As Janus names files that have no name."""
    return f"videoroom-{as_part(str(room_id))}-user-{as_part(str(user_id))}"


def check_name(body: JsonObject, key: str) -> None:
    """:raises RefusedError: 430, it would lead out of the folder of recordings."""
    if body.get(key) and not is_name(body[key]):
        text = f"Invalid element ({key} should be letters, digits and _.+@=,- alone, below the folder of recordings)"
        raise RefusedError(Code.INVALID_ELEMENT, text)
