"""``appliance listen``: receives HEP, shows it as lines, JSON or ladders, writes a pcap, sends it on."""

import asyncio
import errno
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from appliance.hep.client import HepClient, TcpClient, make_client
from appliance.hep.endpoint import parse_endpoint
from appliance.hep.ladder import Ladder
from appliance.hep.listen import Filter, format_line, inner_packet, to_json
from appliance.hep.listener import HepListener
from appliance.hep.message import HepMessage
from appliance.net.tls import ClientTls, context_if_wanted
from appliance.supervisor import until_signalled
from appliance.wire.pcap import LinkType, Writer

CROWDED = 5000
"""Packets that wait to be sent on, at which connections are not read until there are fewer."""
LOOK_AGAIN = 0.01
"""Seconds until then."""


class Listening:
    """What was asked for.

    :raises ValueError: a type or the URL is wrong, a key came without its certificate, or a certificate can't be read.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 9060,
        *,
        tls_port: int = 9062,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        types: Sequence[str] = (),
        node: str = "",
        correlation: str = "",
        ladder: bool = False,
        as_json: bool = False,
        pcap: Path | None = None,
        forward: str = "",
        forward_ca: Path | None = None,
        forward_cert: Path | None = None,
        forward_key: Path | None = None,
        forward_server_name: str = "",
    ) -> None:
        if tls_key is not None and tls_cert is None:
            raise ValueError("--tls-key: wanted --tls-cert with it")
        if ladder and as_json:
            raise ValueError("--ladder, --json: wanted one of them")
        if (forward_ca or forward_cert or forward_key or forward_server_name) and not forward.startswith("tls://"):
            raise ValueError(
                "--forward-ca, --forward-cert, --forward-key, --forward-server-name: wanted --forward tls://"
            )
        self.host = host
        self.port = port
        self.tls_port = tls_port
        self.tls_cert = tls_cert
        self.tls_key = tls_key
        self.wanted = Filter(types=types, node=node, correlation=correlation)
        self.ladder = Ladder() if ladder else None
        self.as_json = as_json
        self.pcap = pcap
        self.forward: HepClient | None = None
        if forward:
            secure = parse_endpoint(forward).transport == "tls"
            trust = ClientTls(
                tls=secure,
                tls_ca_file=str(forward_ca or ""),
                tls_cert_file=str(forward_cert or ""),
                tls_key_file=str(forward_key or ""),
            )
            self.forward = make_client(forward, tls=context_if_wanted(trust), server_name=forward_server_name)

    def tls(self) -> ssl.SSLContext | None:
        """:raises OSError: a file can't be read, or is no certificate or key."""
        if self.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except ssl.SSLError as error:
            raise OSError(f"{self.tls_cert}: no certificate with its key: {error.reason}") from None
        return context

    def lines(self, message: HepMessage) -> Iterable[str]:
        """One packet, as it is to be shown."""
        if self.ladder is not None:
            return self.ladder.lines(message)
        return (to_json(message).decode(),) if self.as_json else (format_line(message),)


class _Show:
    """Shows packets, many lines in one write: a terminal or pipe is slow for each write, not for each line."""

    def __init__(self, asked: Listening, say: Callable[[str], Any], done: asyncio.Event) -> None:
        self._asked = asked
        self._say = say
        self._done = done
        self._lines: list[str] = []
        self._pcap: Callable[[int, bytes], None] | None = None
        self._listeners: list[HepListener] = []
        self._held = False

    def write_to(self, pcap: Callable[[int, bytes], None]) -> None:
        """Where inner packets go, with their time in microseconds."""
        self._pcap = pcap

    def listener(self, *, port: int, udp: bool = True, tls: ssl.SSLContext | None = None) -> HepListener:
        """One that shows what it gets; not started."""

        def take(message: HepMessage) -> None:
            self._take(message, made.packet)

        made = HepListener(take, host=self._asked.host, port=port, udp=udp, tls=tls)
        self._listeners.append(made)
        return made

    def _take(self, message: HepMessage, packet: bytes) -> None:
        asked = self._asked
        if not asked.wanted(message):
            return
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines += asked.lines(message)
        if self._pcap is not None:
            self._pcap(message.timestamp_us, inner_packet(message))
        client = asked.forward
        if client is not None:
            client.send(packet, message.payload_type)
            if not self._held and _waiting(client) > CROWDED:
                self._hold_back()

    def _hold_back(self) -> None:
        """While the further server is behind, let TCP hold up those who send to us; nothing is lost so."""
        client = self._asked.forward
        assert client is not None
        crowded = _waiting(client) > CROWDED
        if crowded != self._held:
            self._held = crowded
            for listener in self._listeners:
                listener.hold(back=crowded)
        if crowded:
            asyncio.get_running_loop().call_later(LOOK_AGAIN, self._hold_back)

    def flush(self) -> None:
        """Write what is due."""
        lines, self._lines = self._lines, []
        if not lines or self._done.is_set():
            return
        try:
            self._say("\n".join(lines) + "\n")
        except BrokenPipeError:
            self._done.set()


def _waiting(client: HepClient) -> int:
    return len(client.outbox) if isinstance(client, TcpClient) else 0


async def listen_and_show(
    asked: Listening,
    *,
    say: Callable[[str], Any],
    note: Callable[[str], Any],
    until: asyncio.Event | None = None,
    started: Callable[[Sequence[HepListener]], None] | None = None,
) -> None:
    """Until a signal, ``until``, or whoever reads the lines goes away.

    :param say: takes whole lines with their ends; ``note`` takes what is no packet, without.
    :raises OSError: a port, the certificate or the file can't be had.
    """
    done = until or asyncio.Event()
    show = _Show(asked, say, done)
    async with AsyncExitStack() as stack:
        if asked.pcap is not None:
            file, writer = stack.enter_context(asked.pcap.open("wb", buffering=0)), Writer(link_type=LinkType.RAW)
            file.write(writer.file_header())

            def write(timestamp_us: int, packet: bytes) -> None:
                # Unbuffered, so that the file is whole whenever somebody looks.
                file.write(writer.packet(timestamp_us * 1000, packet))

            show.write_to(write)
        if asked.forward is not None:
            await asked.forward.start()
            stack.push_async_callback(asked.forward.stop)
        listeners = [show.listener(port=asked.port)]
        if (tls := asked.tls()) is not None:
            listeners.append(show.listener(port=asked.tls_port, udp=False, tls=tls))
        stack.callback(show.flush)
        for listener, port in zip(listeners, (asked.port, asked.tls_port), strict=False):
            try:
                await stack.enter_async_context(listener)
            except OSError as problem:
                raise OSError(_not_had(f"{asked.host}:{port}", problem)) from None
        also = f" and TLS {asked.host}:{listeners[1].port}" if tls is not None else ""
        note(f"listening for HEP on UDP and TCP {asked.host}:{listeners[0].port}{also}; Ctrl-C ends it")
        if started is not None:
            started(listeners)
        signalled = asyncio.create_task(until_signalled(), name="signal")
        ended = asyncio.create_task(done.wait(), name="end")
        await asyncio.wait({signalled, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (signalled, ended):
            task.cancel()
        await asyncio.gather(signalled, ended, return_exceptions=True)
    _sum_up(asked, listeners, note)


def _not_had(where: str, problem: OSError) -> str:
    hint = ""
    if problem.errno == errno.EADDRINUSE:
        hint = "; a running appliance listens on 9060 (listener.port): name another with --port"
    return f"{where} can not be had: {problem.strerror or problem}{hint}"


def _sum_up(asked: Listening, listeners: Sequence[HepListener], note: Callable[[str], Any]) -> None:
    by_type: dict[int, int] = {}
    for listener in listeners:
        for kind, number in listener.tally.by_type.items():
            by_type[kind] = by_type.get(kind, 0) + number
    decoded = ", ".join(f"{count} of type {kind}" for kind, count in sorted(by_type.items())) or "none"
    malformed = sum(sum(listener.tally.malformed.values()) for listener in listeners)
    note(f"decoded: {decoded}; malformed: {malformed}")
    if asked.forward is not None:
        tally = asked.forward.tally
        lost = ", ".join(f"{number} {reason}" for reason, number in tally.dropped.items()) or "none"
        note(f"sent on: {sum(tally.sent.values())}; lost: {lost}")
