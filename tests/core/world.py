"""A gateway with a fake clock and fake media, and clients that keep what they are sent."""

from collections.abc import Mapping
from typing import Any

from appliance.core.events import Body, Event
from appliance.core.gateway import Gateway, GatewayConfig
from appliance.core.plugin import Plugin
from appliance.plugins.echotest import EchoTest
from tests.clock import FakeClock
from tests.core.fake_media import OFFER, FakeMedia

JsonObject = dict[str, Any]


class FakeClient:
    """Implements :class:`appliance.core.transport.Client`."""

    def __init__(self, transport: str = "janus.transport.websockets") -> None:
        self.transport = transport
        self.id = "4855568633890325155"
        self.sent: list[JsonObject] = []
        self.began: list[int] = []
        self.over: list[tuple[int, bool]] = []

    def session_began(self, session_id: int) -> None:
        self.began.append(session_id)

    def push(self, session_id: int, message: JsonObject) -> None:
        assert message["session_id"] == session_id
        self.sent.append(message)

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        self.over.append((session_id, timeout))


class World:
    """``say`` sends a request; ``kinds`` tells the events so far as (type, what) pairs."""

    def __init__(
        self, config: GatewayConfig | None = None, plugins: Mapping[str, Plugin] | None = None, *, start: bool = False
    ) -> None:
        self.clock = FakeClock()
        self.media = FakeMedia()
        self.events: list[Event] = []
        self.gateway = Gateway(
            config or GatewayConfig(),
            self.clock,
            self.events.append,
            self.media,
            plugins or {EchoTest.package: EchoTest(EchoTest.Config())},
            server_name="test",
        )
        self.client = FakeClient()
        if start:
            self.gateway.start()

    def say(self, janus: str, *, client: FakeClient | None = None, **rest: Any) -> JsonObject:
        message = {"janus": janus, "transaction": "t"} | rest
        return self.gateway.request(message, client or self.client)

    def settle(self) -> None:
        self.clock.advance(0)

    def session(self, **rest: Any) -> int:
        created: int = self.say("create", **rest)["data"]["id"]
        return created

    def handle(self, session_id: int, **rest: Any) -> int:
        attached = self.say("attach", session_id=session_id, plugin="janus.plugin.echotest", **rest)
        handle_id: int = attached["data"]["id"]
        return handle_id

    def call(self, **rest: Any) -> JsonObject:
        """A session, a handle and an answered offer; returns the ids."""
        session_id = self.session()
        ids: JsonObject = {"session_id": session_id, "handle_id": self.handle(session_id, **rest)}
        self.say("message", **ids, body={"audio": True, "video": True}, jsep={"type": "offer", "sdp": OFFER})
        self.settle()
        return ids

    def bodies(self) -> list[Body]:
        return [item.body for item in self.events]

    def kinds(self) -> list[tuple[Any, ...]]:
        return [kind_of(item) for item in self.events]

    def told(self) -> list[JsonObject]:
        """What the client was sent since the last time."""
        sent, self.client.sent = self.client.sent, []
        return sent


def kind_of(item: Event) -> tuple[Any, ...]:
    """Type, subtype and the word that tells one from another."""
    body: Any = item.body
    words = ("name", "owner", "ice", "dtls", "connection", "status", "media", "code", "plugin")
    word = next((getattr(body, name) for name in words if hasattr(body, name)), "")
    return (int(item.type), item.subtype, word) if item.subtype else (int(item.type), word)
