"""The engine: its sockets, who gets a datagram, and what it counts."""

import asyncio
import errno
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.core.peer import PeerObserver, SourceLine
from appliance.media.clocks import NtpClock
from appliance.media.config import MAX_STUN_SOURCES, STUN_REQUESTS_PER_SECOND, MediaConfig
from appliance.media.gathering import Gathering
from appliance.media.identity import DtlsIdentity
from appliance.media.injection import Injection, Keyframe
from appliance.media.pair import Pair
from appliance.media.peer import Peer
from appliance.media.port import Port
from appliance.media.tcp import REFUSALS, TcpPort
from appliance.media.turn import RelayPort
from appliance.media.udp import Slot, UdpPort
from appliance.wire import stun

logger = logging.getLogger(__name__)

_TRIES = 8
"""Of a free port that the system chooses."""
_LOG_INTERVAL = 10.0
"""Seconds between two log lines about what a datagram broke."""


class Engine:
    """Implements :class:`appliance.core.peer.MediaEngine`. One thread, one UDP socket for each address."""

    def __init__(self, config: MediaConfig, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.identity = DtlsIdentity()
        self.ntp = NtpClock(clock)
        self.ports: list[UdpPort] = []
        self.tcp_ports: list[TcpPort] = []
        self.gathering = Gathering(config, self.ports, clock, self.relayed, self.tcp_ports)
        self.peers: set[Peer] = set()
        self.dropped: dict[str, int] = {}
        """Datagrams, by why: malformed, unknown_source, rate_limit, ..."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._by_ufrag: dict[str, Peer] = {}
        self._owners: dict[tuple[Port, bytes], Peer] = {}
        """Proven addresses."""
        self._by_tag: dict[bytes, Peer] = {}
        """By what the transaction ids of its probes begin with."""
        # The same the other way round, so that one of a thousand begins and ends without a look at the others.
        self._ufrags: dict[Peer, set[str]] = {}
        self._addresses: dict[Peer, set[tuple[Port, bytes]]] = {}
        self._stun_rates: dict[bytes, int] = {}
        self._stun_second = 0.0
        self._next_log = 0.0

    async def start(self) -> None:
        """Open the sockets. :raises OSError: an address can't be had; the message names it."""
        loop = asyncio.get_running_loop()
        hosts = self.config.hosts()
        first, last = self.config.port, max(self.config.port, self.config.port_last)
        # What the system finds free for UDP may be taken on another address, or for TCP.
        tries = [0] * _TRIES if last == 0 else list(range(first, last + 1))
        for index, port in enumerate(tries, 1):
            try:
                self._bind(hosts, port)
                break
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE or index == len(tries):
                    raise
        for udp in self.ports:
            loop.add_reader(udp.fd, self._readable, udp)
        for tcp in self.tcp_ports:
            await tcp.start()
        self._loop = loop
        await self.gathering.start()

    def _bind(self, hosts: list[str], port: int) -> None:
        config = self.config
        try:
            for host in hosts:
                udp = UdpPort(
                    host,
                    port,
                    announced=config.announced.get(host, host),
                    receive_buffer_bytes=config.receive_buffer_bytes,
                )
                self.ports.append(udp)
                port = udp.port
            for host in hosts if config.ice_tcp else ():
                tcp = TcpPort(
                    host,
                    config.tcp_port or port,
                    self.clock,
                    announced=config.announced.get(host, host),
                    take=self.relayed,
                    owned=lambda tcp, key: (tcp, key) in self._owners,
                    lost=self._disconnected,
                )
                self.tcp_ports.append(tcp)
        except OSError:
            self._close_ports()
            raise

    def _close_ports(self) -> None:
        for udp in self.ports:
            udp.close()
        for tcp in self.tcp_ports:
            tcp.close()
        self.ports.clear()
        self.tcp_ports.clear()

    async def stop(self) -> None:
        """End every PeerConnection and close the sockets."""
        for peer in list(self.peers):
            peer.close(None)
        await self.gathering.stop()
        for udp in self.ports:
            if self._loop is not None:
                self._loop.remove_reader(udp.fd)
        self._close_ports()
        # What the ends of data channels left to be run.
        await asyncio.sleep(0)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [(udp.host, udp.port) for udp in self.ports]

    def open(self, observer: PeerObserver) -> Peer:
        """A new PeerConnection, which emits nothing before its first description."""
        peer = Peer(self, self.config, self.clock, observer)
        self.peers.add(peer)
        return peer

    def source(self, lines: Sequence[SourceLine], keyframe: Keyframe | None = None) -> Injection:
        """A source of a plugin's own. :raises ValueError: see :class:`~appliance.media.injection.Injection`."""
        return Injection(self.clock, lines, keyframe)

    def settings(self) -> dict[str, Any]:
        """What :meth:`configure` can change, as it is."""
        return {"no_media_timer": self.config.no_media_timer, "slowlink_threshold": self.config.slowlink_threshold}

    def configure(self, **changes: float) -> None:
        """Change settings of running PeerConnections and of those to come."""
        self.config = replace(self.config, **changes)
        for peer in self.peers:
            peer.configure(self.config)

    # --- what peers ask ----------------------------------------------------------------------------------

    def register(self, peer: Peer) -> None:
        """Its username is known from now on."""
        names = self._ufrags.setdefault(peer, set())
        # After an ICE restart the name before it is still good; those before that are not.
        ours = peer.ice.credentials
        for ufrag in names - {ours.ufrag, ours.old_ufrag}:
            names.remove(ufrag)
            self._unname(peer, ufrag)
        names.add(ours.ufrag)
        self._by_ufrag[ours.ufrag] = peer
        self._by_tag[peer.tag] = peer

    def _unname(self, peer: Peer, ufrag: str) -> None:
        # Names are random: two can be the same, and then it is the later one's.
        if self._by_ufrag.get(ufrag) is peer:
            del self._by_ufrag[ufrag]

    def prove(self, peer: Peer, pair: Pair) -> bool:
        """An address has shown that it is the peer's; false when it is another live peer's."""
        key = (pair.port, pair.key)
        owner = self._owners.setdefault(key, peer)
        if owner is not peer:
            return False
        self._addresses.setdefault(peer, set()).add(key)
        ready = peer.path.ready
        pair.port.media[pair.key] = peer.path.receiver(pair.port, pair.key) if ready else self._early
        return True

    def _early(self, slot: Slot, length: int, now: float) -> None:
        """Media of a client without keys yet: some send at once, and packets overtake the end of the handshake."""
        self.drop("no_keys")

    def release(self, peer: Peer, pair: Pair) -> None:
        """An address is the peer's no more."""
        if self._owners.get((pair.port, pair.key)) is peer:
            del self._owners[pair.port, pair.key]
            self._addresses[peer].remove((pair.port, pair.key))
            pair.port.release(pair.key)

    def _disconnected(self, port: TcpPort, key: bytes) -> None:
        """Whoever connects from there next may be somebody else."""
        owner = self._owners.pop((port, key), None)
        if owner is not None:
            self._addresses[owner].discard((port, key))
            owner.ice.pairs.disconnected(port, key)
        port.media.pop(key, None)

    def take_media(self, peer: Peer) -> None:
        """It has keys: its packets are welcome. Again when what is to see them has changed."""
        for port, key in self._addresses.get(peer, ()):
            port.media[key] = peer.path.receiver(port, key)

    def forget(self, peer: Peer) -> None:
        """It is closed."""
        self.peers.discard(peer)
        for ufrag in self._ufrags.pop(peer, ()):
            self._unname(peer, ufrag)
        for port, key in self._addresses.pop(peer, ()):
            del self._owners[port, key]
            port.release(key)
        self._by_tag.pop(peer.tag, None)

    # --- datagrams ---------------------------------------------------------------------------------------

    def _readable(self, udp: UdpPort) -> None:
        try:
            udp.drain(self.clock.monotonic(), self.datagram)
        except Exception:
            self._complain("a batch of datagrams was left half read")
        for port in self.ports:
            port.flush()

    def relayed(self, relay: RelayPort | TcpPort, key: bytes, data: bytes) -> None:
        """Take what came through the TURN server or over TCP, as a batch of one."""
        try:
            receive = relay.media.get(key)
            if len(data) < 2 or not 127 < data[0] < 192:
                self.datagram(relay, key, data)
            elif receive is None:
                self.drop("unknown_source")
            else:
                slot = relay.slot_of(data)
                if slot is None:
                    self.drop("oversize")
                else:
                    receive(slot, len(data), self.clock.monotonic())
        except Exception:
            self._complain("a relayed datagram was dropped that should have been refused")
        for port in self.ports:
            port.flush()

    def datagram(self, udp: Port, key: bytes, data: bytes) -> None:
        """Take what is no media of a known address. Whatever it holds, nothing escapes."""
        try:
            if stun.is_stun(data):
                self._stun(udp, key, data)
            elif data and 19 < data[0] < 64:
                self._dtls(udp, key, data)
            else:
                self.drop("malformed")
        except Exception:
            self._complain("a datagram was dropped that should have been refused")

    def _stun(self, udp: Port, key: bytes, data: bytes) -> None:
        if not self._within_rate(key):
            self.drop("rate_limit")
            return
        try:
            message = stun.parse(data)
        except stun.StunDecodeError:
            self.drop("malformed")
            return
        if message.method != stun.BINDING:
            self.drop("malformed")
        elif message.message_class is stun.Class.REQUEST:
            ufrag = (message.username or "").partition(":")[0]
            peer = self._by_ufrag.get(ufrag)
            # No error is sent to those who can't prove anything: it would only be noise sent where they say.
            if peer is None or not peer.stun_request(udp, key, message, data):
                self.drop("unknown_source")
        elif message.message_class is not stun.Class.INDICATION:
            reflexive = self.gathering.reflexive
            if reflexive is not None and reflexive.response(udp, key, message):
                return
            peer = self._by_tag.get(message.transaction_id[:4])
            if peer is None or not peer.stun_response(udp, key, message, data):
                self.drop("unknown_source")

    def _dtls(self, udp: Port, key: bytes, data: bytes) -> None:
        peer = self._owners.get((udp, key))
        if peer is None or not peer.dtls_datagram(udp, key, data):
            self.drop("unknown_source")

    def _within_rate(self, key: bytes) -> bool:
        now = self.clock.monotonic()
        if now - self._stun_second >= 1.0:
            self._stun_second = now
            self._stun_rates.clear()
        count = self._stun_rates.get(key, 0) + 1
        if count > STUN_REQUESTS_PER_SECOND or (count == 1 and len(self._stun_rates) >= MAX_STUN_SOURCES):
            return False
        self._stun_rates[key] = count
        return True

    def _complain(self, what: str) -> None:
        """Of a bug of ours: counted always, logged now and then."""
        self.drop("malformed")
        now = self.clock.monotonic()
        if now >= self._next_log:
            self._next_log = now + _LOG_INTERVAL
            logger.exception("%s", what)

    def drop(self, reason: str) -> None:
        """Count a dropped datagram."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    # --- counts ------------------------------------------------------------------------------------------

    def measure(self) -> Iterable[Counter]:
        """For the exporter."""
        ports: list[UdpPort | TcpPort] = [*self.ports, *self.tcp_ports]
        received = sum(port.received for port in ports) + self.gathering.relayed("received")
        sent = sum(port.sent for port in ports) + self.gathering.relayed("sent")
        yield Counter("media_datagrams_total", received, {"direction": "in"})
        yield Counter("media_datagrams_total", sent, {"direction": "out"})
        dropped = dict(self.dropped)
        dropped["unknown_source"] = dropped.get("unknown_source", 0) + sum(udp.unknown_media for udp in self.ports)
        dropped["oversize"] = dropped.get("oversize", 0) + sum(udp.oversize for udp in self.ports)
        refused = sum(sum(udp.send_errors.values()) for udp in self.ports)
        refused += sum(tcp.dropped for tcp in self.tcp_ports)
        dropped["send_buffer"] = refused + self.gathering.relayed("dropped")
        yield from self.gathering.measure()
        if self.tcp_ports:
            yield Counter("media_tcp_connections", sum(map(len, self.tcp_ports)))
            for reason in REFUSALS:
                count = sum(tcp.refused[reason] for tcp in self.tcp_ports)
                yield Counter("media_tcp_connections_closed_total", count, {"reason": reason})
        for reason, count in dropped.items():
            yield Counter("media_datagrams_dropped_total", count, {"reason": reason})
