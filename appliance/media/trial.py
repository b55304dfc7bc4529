"""STUN and TURN servers, each tried once: what ``appliance check`` tells of them before a call needs them."""

import asyncio
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

from msgspec import Struct

from appliance.core.clock import LoopClock
from appliance.media.access import access_of, shown
from appliance.media.allocation import Family, TurnRefusedError, allocated
from appliance.media.config import MediaConfig
from appliance.media.lender import CLOSE_SECONDS, NOT_SUPPORTED, WRONG_LOGIN, context_of
from appliance.media.reflexive import WAITS
from appliance.media.servers import Server, TurnServer, stun_server
from appliance.wire import stun

TRIAL_SECONDS = 5.0
"""For a name to be resolved, and for a TURN server to lend an address."""

_Address = tuple[str, int]


class Trial(Struct, frozen=True):
    """What came of one server."""

    good: bool
    text: str
    """Begins with the setting; never holds a secret."""


class _Asking(asyncio.DatagramProtocol):
    """Takes answers to the transactions in :attr:`seen`; anything else is dropped."""

    def __init__(self) -> None:
        self.seen: dict[bytes, _Address | None] = {}
        self.all_answered = asyncio.Event()

    def datagram_received(self, data: bytes, _address: _Address) -> None:
        with suppress(stun.StunDecodeError):
            message = stun.parse(data)
            if message.transaction_id in self.seen and message.message_class is stun.Class.SUCCESS:
                self.seen[message.transaction_id] = message.xor_mapped_address
                if None not in self.seen.values():
                    self.all_answered.set()


async def try_servers(config: MediaConfig) -> list[Trial]:
    """Every STUN and TURN server of ``config``, all at once; takes some 10 seconds at most."""
    turns = (_try_turn(f"turn_servers[{index}]", server) for index, server in enumerate(config.turn_servers))
    found, lent = await asyncio.gather(_try_stun(config), asyncio.gather(*turns))
    return [*found, *lent]


async def _resolve(server: Server) -> list[_Address] | str:
    """The addresses, or why there are none."""
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            entries = await asyncio.get_running_loop().getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
    except TimeoutError:
        return f"the name is not resolved within {TRIAL_SECONDS:.0f} s"
    except (OSError, UnicodeError) as problem:
        return getattr(problem, "strerror", None) or str(problem)
    return [(str(address[0]), server.port) for _, _, _, _, address in entries]


async def _ask(host: str, wanted: dict[str, _Address]) -> dict[str, _Address]:
    """What each of ``wanted``, by its setting, sees of one socket on ``host``; those that don't answer are left out.

    The port is any free one: a gateway that runs has its own.
    """
    asking = _Asking()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: asking, local_addr=(host, 0))
    try:
        transactions = {setting: secrets.token_bytes(12) for setting in wanted}
        asking.seen = dict.fromkeys(transactions.values())
        for wait in WAITS:
            for setting, transaction in transactions.items():
                if asking.seen[transaction] is None:
                    request = stun.build(stun.BINDING, stun.Class.REQUEST, transaction, [], None)
                    transport.sendto(request, wanted[setting])
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await asking.all_answered.wait()
                break
    finally:
        transport.close()
    answers = {setting: asking.seen[transaction] for setting, transaction in transactions.items()}
    return {setting: seen for setting, seen in answers.items() if seen is not None}


async def _try_stun(config: MediaConfig) -> list[Trial]:
    if not config.stun_servers:
        return []
    settings = [f"media.stun_servers[{index}]" for index in range(len(config.stun_servers))]
    places = await asyncio.gather(*(_resolve(stun_server(text)) for text in config.stun_servers))
    found = [
        Trial(False, f"{setting}: {text}: {place}")
        for setting, text, place in zip(settings, config.stun_servers, places, strict=True)
        if isinstance(place, str)
    ]
    try:
        hosts = config.hosts()
    except OSError as problem:
        return [*found, Trial(False, f"media.stun_servers: can't be asked: {problem.strerror or problem}")]
    for setting, text, place in zip(settings, config.stun_servers, places, strict=True):
        if not isinstance(place, str) and not any(_reaches(host, there) for host in hosts for there, _ in place):
            found.append(Trial(False, f"{setting}: {text}: no address of media.addresses can reach {place[0][0]}"))
    for trials in await asyncio.gather(*(_try_from(host, config, settings, places) for host in hosts)):
        found += trials
    return found


async def _try_from(
    host: str, config: MediaConfig, settings: list[str], places: list[list[_Address] | str]
) -> list[Trial]:
    wanted: dict[str, _Address] = {}
    for setting, place in zip(settings, places, strict=True):
        same_kind = [] if isinstance(place, str) else [one for one in place if _reaches(host, one[0])]
        if same_kind:
            wanted[setting] = same_kind[0]
    try:
        seen = await _ask(host, wanted) if wanted else {}
    except OSError as problem:
        return [Trial(False, f"media.stun_servers: can't be asked from {host}: {problem.strerror or problem}")]
    return [
        *(
            Trial(setting in seen, f"{setting}: {text}: " + _said(host, seen.get(setting)))
            for setting, text in zip(settings, config.stun_servers, strict=True)
            if setting in wanted
        ),
        *_compared(host, list(seen.values())),
    ]


def _reaches(host: str, there: str) -> bool:
    ours, theirs = ip_address(host), ip_address(there.partition("%")[0])
    return ours.version == theirs.version and ours.is_loopback is theirs.is_loopback


def _said(host: str, seen: _Address | None) -> str:
    if seen is None:
        return f"no answer to {host} within {sum(WAITS):.1f} s: a firewall, or no STUN server there"
    return f"answers, and sees {host} as {_shown(seen)}"


def _shown(address: _Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _compared(host: str, seen: list[_Address]) -> Iterator[Trial]:
    different = list(dict.fromkeys(seen))
    if len(different) > 1:
        yield Trial(
            False,
            f"media.stun_servers: they see one socket on {host} as {' and '.join(map(_shown, different))}: a symmetric "
            "NAT, which gives each destination another port; clients come through TURN only",
        )


async def _try_turn(setting: str, config: TurnServer) -> Trial:
    where = f"media.{setting}: {config.url or shown(config)}"
    lent, refusals = [], []
    try:
        server, context = config.read(f"media.{setting}"), context_of(f"media.{setting}", config)
    except ValueError as problem:
        return Trial(False, f"{where} can't be asked: {problem}")
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        try:
            lent.append(await _lent(server, family, context))
        except TimeoutError:
            refusals.append(f"no answer within {TRIAL_SECONDS:.0f} s: a firewall, or no TURN server there")
        except OSError as problem:
            code = problem.code if isinstance(problem, TurnRefusedError) else 0
            if code in NOT_SUPPORTED:
                refusals.append(f"none for IPv{family}")
                continue
            said = getattr(problem, "strerror", None) or str(problem)
            refusals.append(f"its user name, password or secret is wrong: {said}" if code in WRONG_LOGIN else said)
        if not lent:
            # What keeps one address back keeps the other.
            return Trial(False, f"{where} lends no address: {'; '.join(refusals)}")
    besides = f" ({'; '.join(refusals)})" if refusals else ""
    return Trial(bool(lent), f"{where} lends {' and '.join(lent) or 'nothing'}, given back at once{besides}")


async def _lent(server: TurnServer, family: Family, context: ssl.SSLContext | None) -> str:
    async with asyncio.timeout(TRIAL_SECONDS):
        access = await access_of(server, LoopClock().wall_us() // 1_000_000, context)
        client = await allocated(access, family, context)
    address = client.relayed_address
    await client.give_back(CLOSE_SECONDS)
    return _shown(address) if address is not None else "nothing"
