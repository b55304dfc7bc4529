"""A gateway with a VideoRoom, and people who come to it."""

import socket
from typing import Any

from appliance.core import events
from appliance.core.peer import Medium
from appliance.plugins.videoroom import VideoRoom
from tests.core.fake_media import OFFER, FakePeer
from tests.core.world import JsonObject, World

MEDIA = (
    Medium(mid="0", mindex=0, kind="audio", direction="recvonly", codec="opus"),
    Medium(mid="1", mindex=1, kind="video", direction="recvonly", codec="vp8"),
    Medium(mid="2", mindex=2, kind="application", direction="sendrecv"),
)
ANSWER = "\r\n".join(
    (
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=recvonly", "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1", "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1", "a=recvonly", "a=rtpmap:96 VP8/90000",
        "a=extmap:13 urn:3gpp:video-orientation",
        "a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:2", "a=sctp-port:5000", "",
    )
)  # fmt: skip


class Person:
    """One handle in a session of its own world's client."""

    def __init__(self, world: World, opaque_id: str = "opq") -> None:
        self.world = world
        self.session_id = world.session()
        attached = world.say(
            "attach", session_id=self.session_id, plugin="janus.plugin.videoroom", opaque_id=f"{opaque_id}"
        )
        self.ids: JsonObject = {"session_id": self.session_id, "handle_id": attached["data"]["id"]}
        self.peer: FakePeer | None = None

    def ask(self, request: str, **body: Any) -> JsonObject:
        """A synchronous request's reply."""
        answer = self.world.say("message", **self.ids, body={"request": request, **body})
        assert answer["janus"] == "success", answer
        data: JsonObject = answer["plugindata"]["data"]
        return data

    def tell(self, request: str, *, offer: bool = False, answers_offer: bool = False, **body: Any) -> JsonObject:
        """An asynchronous request's answer: the event with its transaction, ``jsep`` added where it has one."""
        rest: JsonObject = {"jsep": {"type": "offer", "sdp": OFFER}} if offer else {}
        if answers_offer:
            rest = {"jsep": {"type": "answer", "sdp": OFFER}}
        peers = len(self.world.media.peers)
        acked = self.world.say("message", **self.ids, body={"request": request, **body}, **rest)
        assert acked == {"janus": "ack", "session_id": self.session_id, "transaction": "t"}
        if len(self.world.media.peers) > peers:
            self.peer = self.world.media.peer
        self.world.settle()
        answers = [one for one in self.world.client.sent if "transaction" in one]
        (answer,) = answers
        self.world.client.sent.remove(answer)
        assert answer["sender"] == self.ids["handle_id"]
        data: JsonObject = answer["plugindata"]["data"]
        return data | ({"jsep": answer["jsep"]} if "jsep" in answer else {})

    def heard(self) -> list[JsonObject]:
        """The plugin's notifications so far, taken away."""
        mine = [
            one
            for one in self.world.client.sent
            if one.get("sender") == self.ids["handle_id"] and one["janus"] == "event"
        ]
        self.world.client.sent = [one for one in self.world.client.sent if one not in mine]
        return [one["plugindata"]["data"] for one in mine]

    def join(self, room: int | str = 1234, **body: Any) -> JsonObject:
        """As a publisher."""
        return self.tell("join", room=room, ptype="publisher", **body)

    def publish(self, **body: Any) -> JsonObject:
        """Offer, and come up."""
        answer = self.tell("configure", offer=True, **body)
        self.connect()
        return answer

    def last_call(self) -> tuple[Any, ...]:
        """What the PeerConnection was told last."""
        assert self.peer is not None
        return self.peer.calls[-1]

    def connect(self) -> None:
        assert self.peer is not None
        self.peer.up = True
        self.peer.tell(events.Connection(connection="webrtcup"))


def world(plugin: VideoRoom | None = None) -> World:
    return World(plugins={VideoRoom.package: plugin or VideoRoom()})


def plugin_events(world: World) -> list[tuple[bool, JsonObject]]:
    """Whether each names its handle, and what it says."""
    return [
        (item.handle_id is not None, item.body.data) for item in world.events if isinstance(item.body, events.Plugin)
    ]


class Target:
    """Where a publisher of ours is sent to."""

    def __init__(self) -> None:
        self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for one in (self.rtp, self.rtcp):
            one.bind(("127.0.0.1", 0))
            one.settimeout(5)

    @property
    def body(self) -> dict[str, Any]:
        host, port = self.rtp.getsockname()
        return {"host": host, "port": port, "rtcp_port": self.rtcp.getsockname()[1]}

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()
