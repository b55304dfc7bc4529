"""The Janus API: what a request means, whatever transport it came by.

Everything is a function of the requests and of the clock, so the whole API can be tested with dictionaries. The order
of the checks, the codes and the texts are those of Janus 1.4.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from appliance.core import events
from appliance.core.api_meter import ApiMeter
from appliance.core.auth import Authenticator, secret_of
from appliance.core.clock import Clock, Timer
from appliance.core.commands import serve_command
from appliance.core.context import Context, GatewayConfig
from appliance.core.deferred import DeferredWork
from appliance.core.errors import ErrorCode, JanusError, shown, unhandled
from appliance.core.events import Counter, Event
from appliance.core.measure import Measured
from appliance.core.messages import MAX_ID, Envelope, error_reply, read_envelope, reply
from appliance.core.peer import MediaEngine
from appliance.core.plugin import Plugin
from appliance.core.server_info import server_info
from appliance.core.session import Session, new_id
from appliance.core.tokens import StoredTokens
from appliance.core.transport import ApiTransport, Client, ModuleInfo

logger = logging.getLogger(__name__)

WATCHDOG_S = 2.0
"""How often sessions are looked at, as in Janus: one ends up to so much later than its time-out."""
UPDATE_S = 15.0
"""Between two core events ``update``."""
COUNTERS_S = 5.0
"""Between two events ``Counters``."""
SHUTDOWN = "Server shutdown"
"""Reason of a hangup; not one of Janus's, which ends its calls without any."""
__all__ = ["Gateway", "GatewayConfig"]


class Gateway:
    """Implements :class:`appliance.core.transport.Api`.

    ``publish`` takes every event, ``measured`` are those whose counts go out with ours, and ``info`` adds to
    ``server_info`` what only the composition knows (``local-ip``, ``ipv6``, ...); ``handlers`` are shown there too.

    :raises ValueError: the API secret's file can't be read.
    """

    def __init__(
        self,
        config: GatewayConfig,
        clock: Clock,
        publish: Callable[[Event], None],
        media: MediaEngine,
        plugins: Mapping[str, Plugin],
        *,
        server_name: str = "appliance",
        stats_period_s: float = 1.0,
        handlers: Mapping[str, ModuleInfo] | None = None,
        measured: Iterable[Measured] = (),
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.accepting = True
        """False while draining: ``create`` is refused (472)."""
        self.sessions: dict[int, Session] = {}
        self.plugins = dict(plugins)
        for plugin in self.plugins.values():
            plugin.lend(media.source)
        self._clock = clock
        self.auth = Authenticator(
            secret_of("api.api_secret", config.api_secret, config.api_secret_file),
            tokens=StoredTokens(self.plugins) if config.token_auth else None,
            token_secret=secret_of("api.token_auth_secret", config.token_auth_secret, config.token_auth_secret_file),
            now_s=lambda: clock.wall_us() / 1_000_000,
        )
        if self.auth.takes_signed:
            for plugin in self.plugins.values():
                plugin.lend_tokens(partial(self.auth.granted, realm=plugin.package))
        self._deferred = DeferredWork(clock)
        self.context = Context(config, clock, publish, media, server_name, self._deferred.add)
        self._stats_period_s = stats_period_s
        self.transports: dict[str, ApiTransport] = {}
        """By package name."""
        self._handlers = dict(handlers or {})
        self._info = dict(info or {})
        self._measured = list(measured)
        self._timers: dict[str, Timer] = {}
        self._meter = ApiMeter()

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, transports: Iterable[ApiTransport] = (), measured: Iterable[Measured] = ()) -> None:
        """Say that we are here and what one can come in by, and begin to look after sessions.

        The counts of the transports, and of whoever else is ``measured``, go out with ours.
        """
        self._measured += measured
        for transport in transports:
            self.transports[transport.name] = transport
            self._measured.append(transport)
        self._meter.expect(self.transports)
        self.context.emit(events.Core(status="started", info=self.server_info()))
        self._every("watchdog", WATCHDOG_S, self._expire_sessions)
        self._every("update", UPDATE_S, self._tell_update)
        self._every("counters", COUNTERS_S, self._tell_counters)

    def shutdown(self) -> None:
        """End every session, while their clients can still be told; :meth:`say_goodbye` follows when they are gone."""
        self.accepting = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._deferred.run()
        for session in self._take(list(self.sessions)):
            # Without a word of why, it would look as if its application had ended it.
            for handle in list(session.handles.values()):
                handle.hangup(SHUTDOWN)
            session.destroy()

    def say_goodbye(self, signum: int = 0) -> None:
        """The last events, once the transports have told that their clients are gone: nothing is published after."""
        self._tell_counters()
        self.context.emit(events.Shutdown(signum=signum))

    def _every(self, name: str, period_s: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers[name] = self._clock.call_later(period_s, run)
            action()

        self._timers[name] = self._clock.call_later(period_s, run)

    def _take(self, ids: Iterable[int]) -> list[Session]:
        return [self.sessions.pop(session_id) for session_id in ids]

    def _expire_sessions(self) -> None:
        now = self._clock.monotonic()
        reclaim = self.context.config.reclaim_session_timeout_s
        expired = [
            session.id
            for session in self.sessions.values()
            if (session.orphaned_at is not None and now - session.orphaned_at >= reclaim)
            or (0 < self.timeout_of(session) <= now - session.last_activity)
        ]
        for session in self._take(expired):
            session.expire()

    def timeout_of(self, session: Session) -> float:
        """Seconds without a request that end it: its own, or that of all; 0: never."""
        return self.context.config.session_timeout_s if session.timeout_s is None else session.timeout_s

    def _tell_update(self) -> None:
        period = self._stats_period_s
        counts = self._counts() | {"stats-period": int(period) if period == int(period) else period}
        self.context.emit(events.Core(status="update", info=counts))

    def _tell_counters(self) -> None:
        self.context.emit(events.Counters(counters=tuple(self._all_counters())))

    def _all_counters(self) -> Iterable[Counter]:
        yield from self.measure()
        for each in self._measured:
            yield from each.measure()

    def _counts(self) -> dict[str, Any]:
        handles = [handle for session in self.sessions.values() for handle in session.handles.values()]
        return {
            "sessions": len(self.sessions),
            "handles": len(handles),
            "peerconnections": sum(handle.line is not None for handle in handles),
        }

    # --- requests (Api) ---------------------------------------------------------------------------------------

    def request(self, message: object, client: Client) -> dict[str, Any]:
        """Serve one request. Never raises: a refusal is a reply, and so is a bug of ours (490)."""
        self._deferred.run()
        began = self._clock.monotonic()
        envelope: Envelope | None = None
        try:
            envelope = read_envelope(message)
            assert isinstance(message, dict)
            answer = self._serve(envelope, message, client)
            if self.context.recorder is not None and envelope.handle_id:
                self.context.recorder.exchanged(envelope.session_id, envelope.handle_id, message, answer)
        except JanusError as refusal:
            answer = self._refuse(refusal, envelope)
        except Exception:
            logger.exception("request %s failed", envelope.verb if envelope else "?")
            answer = self._refuse(JanusError(ErrorCode.UNKNOWN), envelope)
        self._count(client, envelope, answer, began)
        return answer

    def refuse(self, error: JanusError, client: Client) -> dict[str, Any]:
        """Answer what a transport could not make a request of."""
        began = self._clock.monotonic()
        answer = self._refuse(error, None)
        self._count(client, None, answer, began)
        return answer

    def _serve(self, envelope: Envelope, message: dict[str, Any], client: Client) -> dict[str, Any]:
        if envelope.session_id == 0 and envelope.handle_id == 0:
            return self._serve_root(envelope, message, client)
        if envelope.session_id < 1:
            raise JanusError(ErrorCode.SESSION_NOT_FOUND)
        if envelope.names_handle and envelope.handle_id < 1:
            raise JanusError(ErrorCode.HANDLE_NOT_FOUND)
        self._authorize(envelope)
        session = self.sessions.get(envelope.session_id)
        if session is None:
            raise JanusError(ErrorCode.SESSION_NOT_FOUND, f"No such session {envelope.session_id}")
        # Also by a request that will be refused.
        session.touch()
        if not envelope.handle_id:
            return self._serve_session(session, envelope, message, client)
        handle = session.handles.get(envelope.handle_id)
        if handle is None:
            text = f"No such handle {envelope.handle_id} in session {session.id}"
            raise JanusError(ErrorCode.HANDLE_NOT_FOUND, text)
        verb, transaction = envelope.verb, envelope.transaction
        match verb:
            case "message":
                return handle.message(message, transaction)
            case "trickle":
                handle.trickle(message)
                return reply("ack", session_id=session.id, transaction=transaction)
            case "keepalive":
                return reply("ack", session_id=session.id, transaction=transaction)
            case "hangup":
                self._deferred.add(lambda: handle.hangup("Janus API"))
            case "detach":
                del session.handles[handle.handle_id]
                self._deferred.add(lambda: handle.release(tell=True))
            case "claim":
                session.claim(client)
            case "attach" | "destroy":
                raise unhandled(envelope.said)
            case _:
                raise JanusError(ErrorCode.UNKNOWN_REQUEST, f"Unknown request '{shown(envelope.said)}'")
        return reply("success", session_id=session.id, transaction=transaction)

    def _serve_root(self, envelope: Envelope, message: dict[str, Any], client: Client) -> dict[str, Any]:
        match envelope.verb:
            case "info":
                return self.server_info(envelope.transaction)
            case "ping":
                return reply("pong", transaction=envelope.transaction)
            case "create":
                return self._create(envelope, message, client)
            case _:
                raise unhandled(envelope.said)

    def _create(self, envelope: Envelope, message: dict[str, Any], client: Client) -> dict[str, Any]:
        wanted: int = message.get("id", 0)
        if not self.accepting:
            raise JanusError(ErrorCode.NOT_ACCEPTING_SESSIONS)
        self._authorize(envelope)
        if wanted > MAX_ID:
            text = f"Invalid element type (id should be a positive integer below 2^53, not {shown(str(wanted), 40)})"
            raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        if wanted in self.sessions:
            raise _SessionConflictError(wanted)
        if len(self.sessions) >= self.context.config.max_sessions:
            self.context.limited["sessions"] += 1
            text = f"Currently not accepting new sessions: there are {len(self.sessions)}, as many as there may be"
            raise JanusError(ErrorCode.NOT_ACCEPTING_SESSIONS, text)
        session = Session(self.context, wanted or new_id(self.sessions), client)
        self.sessions[session.id] = session
        return reply("success", transaction=envelope.transaction, data={"id": session.id})

    def _serve_session(
        self, session: Session, envelope: Envelope, message: dict[str, Any], client: Client
    ) -> dict[str, Any]:
        transaction = envelope.transaction
        match envelope.verb:
            case "attach":
                token = envelope.token
                handle = session.attach(message, self.plugins, lambda plugin: self.auth.may_attach(token, plugin))
                return reply("success", session_id=session.id, transaction=transaction, data={"id": handle.handle_id})
            case "keepalive":
                return reply("ack", session_id=session.id, transaction=transaction)
            case "claim":
                session.claim(client)
            case "destroy":
                del self.sessions[session.id]
                self._deferred.add(lambda: session.destroy(tell=False))
            case "message" | "trickle" | "hangup" | "detach":
                raise unhandled(envelope.said)
            case _:
                raise JanusError(ErrorCode.UNKNOWN_REQUEST, f"Unknown request '{shown(envelope.said)}'")
        return reply("success", session_id=session.id, transaction=transaction)

    def _authorize(self, envelope: Envelope) -> None:
        if not self.auth.allows(envelope.apisecret, envelope.token):
            raise JanusError(ErrorCode.UNAUTHORIZED)

    def _refuse(self, refusal: JanusError, envelope: Envelope | None) -> dict[str, Any]:
        session_id = envelope.session_id if envelope else 0
        if isinstance(refusal, _SessionConflictError):
            session_id = refusal.session_id
        known = self.sessions.get(session_id)
        handle_id = envelope.handle_id if envelope else 0
        handle = known.handles.get(handle_id) if known is not None else None
        body = events.ApiError(
            code=int(refusal.code),
            reason=shown(refusal.reason, 500),
            request=shown(envelope.verb, 64) if envelope else "",
            transaction=shown(envelope.transaction, 128) if envelope else "",
        )
        self.context.emit(
            body,
            known.id if known is not None else None,
            handle.handle_id if handle is not None else None,
            handle.opaque_id if handle is not None else None,
        )
        return error_reply(refusal, session_id=session_id, transaction=envelope.transaction if envelope else None)

    # --- the other half of Api --------------------------------------------------------------------------------

    def session_exists(self, session_id: int) -> bool:
        """Whether it is alive."""
        return session_id in self.sessions

    def touch(self, session_id: int) -> None:
        """Keep a session alive."""
        session = self.sessions.get(session_id)
        if session is not None:
            session.touch()

    def authorized(self, apisecret: str | None, token: str | None) -> bool:
        """For a long poll."""
        return self.auth.allows(apisecret, token)

    def gone(self, client: Client) -> None:
        """End the sessions of a connection that is lost, or let them wait to be claimed."""
        self._deferred.run()
        own = [session for session in self.sessions.values() if session.client is client]
        if self.context.config.reclaim_session_timeout_s > 0:
            for session in own:
                session.orphaned_at = self._clock.monotonic()
            return
        for session in self._take([session.id for session in own]):
            session.abandon()

    def transport_event(self, transport: str, id: str, data: dict[str, Any]) -> None:
        """Publish what a transport tells."""
        self.context.emit(events.Transport(transport=transport, id=id, data=data))

    # --- from the inside --------------------------------------------------------------------------------------

    def destroy_session(self, session_id: int) -> bool:
        """End a session as if its client had asked; false when there is none."""
        for session in self._take([session_id] if session_id in self.sessions else []):
            session.destroy()
            return True
        return False

    def command(self, verb: str, args: dict[str, object]) -> dict[str, object]:
        """Serve the collector, see :mod:`appliance.core.commands`. :raises LookupError, ValueError: it can't be."""
        self._deferred.run()
        return serve_command(self, verb, args)

    # --- what is shown ----------------------------------------------------------------------------------------

    def server_info(self, transaction: str | None = None) -> dict[str, Any]:
        """What ``info`` answers, and what the first event holds."""
        return server_info(
            self.context,
            self.auth,
            accepting=self.accepting,
            transaction=transaction,
            known=self._info,
            transports={name: transport.info for name, transport in self.transports.items()},
            handlers=self._handlers,
            plugins=self.plugins.values(),
        )

    def _count(self, client: Client, envelope: Envelope | None, answer: dict[str, Any], began: float) -> None:
        verb = envelope.verb if envelope is not None else "other"
        self._meter.add(client.transport, verb, answer["janus"], self._clock.monotonic() - began)

    def measure(self) -> Iterable[Counter]:
        """Requests, failures and levels of the API."""
        yield from self._meter.measure()
        yield Counter("auth_failures_total", self.auth.failures, {"api": "janus"})
        for limit, count in self.context.limited.items():
            yield Counter("api_limits_total", count, {"limit": limit})
        for name, count in self._counts().items():
            yield Counter(name, count)


class _SessionConflictError(JanusError):
    """Names the session that ``create`` asked for: the reply carries its id."""

    def __init__(self, session_id: int) -> None:
        super().__init__(ErrorCode.SESSION_CONFLICT)
        self.session_id = session_id
