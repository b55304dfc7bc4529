"""EchoTest as it records its client: which files there are, when they begin and when they end."""

from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from appliance.plugins.echotest import EchoTest
from tests.clock import FakeClock
from tests.core.fake_media import ANSWER, OFFER, FakePeer
from tests.core.world import JsonObject, World
from tests.plugins.test_echotest import ask

PACKET = memoryview(b"\x80\x6f" + bytes(98))


class Recorder:
    """A gateway that records, and a client in a call."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder / "recordings"
        self.plugin = EchoTest(EchoTest.Config(**config), clock=FakeClock())
        self.plugin.open(folder)
        self.world = World(plugins={EchoTest.package: self.plugin})
        self.ids: JsonObject = self.world.call()
        self.world.told()

    @property
    def peer(self) -> FakePeer:
        return self.world.media.peer

    def ask(self, **body: Any) -> JsonObject:
        return ask(self.world, self.ids, body)

    def send(self, *mids: str) -> None:
        for mid in mids:
            listener = self.peer.listeners.get(mid)
            if listener is not None:
                listener(PACKET)

    def files(self) -> list[str]:
        """What there is once everything has been written."""
        self.plugin.close()
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.*"))


def told(world: World) -> JsonObject:
    body = world.bodies()[-1]
    assert isinstance(body, events.Plugin)
    return body.data


def test_a_file_says_what_header_extensions_its_packets_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level, time = (
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    )
    lines = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", f"a=extmap:1 {level}", f"a=extmap:3 {time}"]
    monkeypatch.setattr("tests.core.fake_media.ANSWER", ANSWER + "\r\n".join([*lines, ""]))
    client = Recorder(tmp_path)
    client.ask(record=True, filename="talk")
    client.send("0", "1")
    client.files()
    assert f'"x": {{"1": "{level}", "3": "{time}"}}'.encode() in (client.folder / "talk-audio.mjr").read_bytes()
    assert b'"x"' not in (client.folder / "talk-video.mjr").read_bytes()


def test_audio_video_and_texts_are_files_of_their_own(tmp_path: Path) -> None:
    client = Recorder(tmp_path)
    client.peer.calls.clear()
    assert client.ask(record=True, filename="monday/talk")["result"] == "ok"
    assert ("request_keyframe", "1") in client.peer.calls
    names = {kind: f"monday/talk-{kind}" for kind in ("audio", "video", "data")}
    assert told(client.world)["recording"] == names
    client.send("0", "1")
    client.peer.observer.data("chat", "", "hello")
    client.peer.observer.data("chat", "", b"\x00")
    assert client.ask(record=False)["result"] == "ok"
    assert "recording" not in told(client.world)
    assert client.peer.listeners == {"0": None, "1": None}
    assert client.files() == [f"{name}.mjr" for name in sorted(names.values())]
    text = (client.folder / "monday" / "talk-data.mjr").read_bytes()
    assert text.endswith(b"hello")


def test_a_name_is_made_up_where_none_is_given(tmp_path: Path) -> None:
    client = Recorder(tmp_path)
    client.ask(record=True)
    client.send("0")
    handle_id = client.ids["handle_id"]
    # Asked for again, it goes on.
    client.ask(record=True, filename="other")
    client.send("0")
    assert client.files() == [f"echotest-{handle_id}-1700000000000000-audio.mjr"]


def test_a_wish_before_the_offer_holds(tmp_path: Path) -> None:
    client = Recorder(tmp_path)
    session_id = client.world.session()
    client.ids = {"session_id": session_id, "handle_id": client.world.handle(session_id)}
    client.ask(record=True, filename="early")
    ask(client.world, client.ids, {}, jsep={"type": "offer", "sdp": OFFER})
    client.send("0")
    assert client.files() == ["early-audio.mjr"]


@pytest.mark.parametrize("end", ["hangup", "detach"])
def test_a_call_that_ends_ends_its_files(tmp_path: Path, end: str) -> None:
    client = Recorder(tmp_path)
    client.ask(record=True, filename="talk")
    client.send("0")
    if end == "hangup":
        client.peer.tell(events.Connection(connection="hangup", reason="DTLS alert"))
    else:
        client.world.say("detach", **client.ids)
        client.world.settle()
    active = next(one for one in client.plugin.measure() if one.name == "media_recordings_active")
    assert active.value == 0
    client.send("0")
    assert client.files() == ["talk-audio.mjr"]


def test_a_stop_of_the_server_ends_files_too(tmp_path: Path) -> None:
    client = Recorder(tmp_path)
    client.ask(record=True, filename="talk")
    client.send("0")
    client.world.gateway.shutdown()
    assert client.files() == ["talk-audio.mjr"]


def test_an_empty_name_is_none(tmp_path: Path) -> None:
    client = Recorder(tmp_path)
    assert client.ask(record=True, filename="")["result"] == "ok"
    assert told(client.world)["recording"]["audio"].startswith("echotest-")


@pytest.mark.parametrize("filename", ["../talk", "/etc/talk", "talk/", "a" * 300])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, filename: str) -> None:
    client = Recorder(tmp_path)
    error = "Invalid value (filename should be letters, digits and _.+@=,- alone)"
    assert client.ask(record=True, filename=filename) == {"echotest": "event", "error_code": 413, "error": error}
    assert client.peer.listeners == {}
    assert client.files() == []


def test_where_nothing_may_be_recorded_the_request_is_refused(tmp_path: Path) -> None:
    client = Recorder(tmp_path, recording_total_bytes=0)
    assert client.ask(record=True)["error_code"] == 413


def test_one_more_than_there_may_be_is_not_made(tmp_path: Path) -> None:
    client = Recorder(tmp_path, recording_files=1)
    assert client.ask(record=True, filename="talk")["result"] == "ok"
    assert told(client.world)["recording"] == {"audio": "talk-audio"}


def test_the_admin_api_sees_what_is_recorded(tmp_path: Path) -> None:
    client = Recorder(tmp_path)
    client.ask(record=True, filename="talk")
    handle = client.world.gateway.sessions[client.ids["session_id"]].handles[client.ids["handle_id"]]
    assert handle.query()["recording"]["video"] == "talk-video"
