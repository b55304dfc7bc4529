"""ICE candidates as SDP writes them (RFC 8839 section 5.1, RFC 6544 for TCP)."""

import re
from ipaddress import ip_address

from msgspec import Struct

MAX_LENGTH = 1024
"""Characters of a candidate; the longest of a browser has some 250."""

_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")
_NAME = re.compile(r"(?=.{7,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+local", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,10}")

TYPES = frozenset({"host", "srflx", "prflx", "relay"})
TRANSPORTS = frozenset({"udp", "tcp"})
TCP_TYPES = frozenset({"active", "passive", "so"})


class CandidateDecodeError(ValueError):
    """A malformed candidate; says which field, its value, and what was wanted."""


class Candidate(Struct, frozen=True, kw_only=True):
    """One transport address that a peer may be reached at."""

    foundation: str
    component: int
    """1..256; 1 is RTP, 2 RTCP without rtcp-mux."""
    transport: str
    """udp or tcp, in lower case."""
    priority: int
    """1..2**31-1; 0 is accepted, some agents send it."""
    address: str
    """IPv4, IPv6, or an mDNS name ending in ``.local`` (RFC 8828)."""
    port: int
    type: str
    """host, srflx, prflx or relay."""
    related_address: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    """active, passive or so; ``None`` for UDP."""
    generation: int | None = None
    ufrag: str | None = None
    extensions: tuple[tuple[str, str], ...] = ()
    """Any other name and value, such as network-cost."""

    @property
    def is_mdns(self) -> bool:
        """The address is a name that only the peer's network can resolve."""
        return self.address.lower().endswith(".local")

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """Read ``candidate:...``, with or without ``a=`` before it, or the value alone.

        :raises CandidateDecodeError: it is malformed, or its transport or type is unknown.
        """
        if len(text) > MAX_LENGTH:
            raise CandidateDecodeError(f"candidate has {len(text)} characters, wanted at most {MAX_LENGTH}")
        if not text.isascii() or not text.strip().isprintable():
            raise CandidateDecodeError(f"candidate is {text!r}, wanted printable ASCII")
        words = text.strip().removeprefix("a=").removeprefix("candidate:").split(" ")
        if len(words) < 8:
            raise CandidateDecodeError(f"candidate {text!r} has {len(words)} fields, wanted at least 8")
        if not _FOUNDATION.fullmatch(words[0]):
            raise CandidateDecodeError(f"foundation is {words[0]!r}, wanted 1..32 letters, digits, + or /")
        transport = words[2].lower()
        if transport not in TRANSPORTS:
            raise CandidateDecodeError(f"transport is {words[2]!r}, wanted udp or tcp")
        if words[6] != "typ":
            raise CandidateDecodeError(f"seventh field is {words[6]!r}, wanted 'typ'")
        if words[7] not in TYPES:
            raise CandidateDecodeError(f"type is {words[7]!r}, wanted host, srflx, prflx or relay")
        rest = words[8:]
        if len(rest) % 2:
            raise CandidateDecodeError(f"extension {rest[-1]!r} has no value, wanted pairs of name and value")
        known: dict[str, str] = {}
        extensions: list[tuple[str, str]] = []
        for name, value in zip(rest[::2], rest[1::2], strict=True):
            if not name or not value:
                raise CandidateDecodeError(f"extension is {name!r} {value!r}, wanted a name and a value")
            if name in _KNOWN and name not in known:
                known[name] = value
            else:
                extensions.append((name, value))
        tcp_type = known.get("tcptype")
        if tcp_type is not None and tcp_type not in TCP_TYPES:
            raise CandidateDecodeError(f"tcptype is {tcp_type!r}, wanted active, passive or so")
        return cls(
            foundation=words[0],
            component=_number("component", words[1], 1, 256),
            transport=transport,
            priority=_number("priority", words[3], 0, 2**32 - 1),
            address=_address("address", words[4]),
            port=_number("port", words[5], 0, 65535),
            type=words[7],
            related_address=_address("raddr", known["raddr"]) if "raddr" in known else None,
            related_port=_number("rport", known["rport"], 0, 65535) if "rport" in known else None,
            tcp_type=tcp_type,
            generation=_number("generation", known["generation"], 0, 2**32 - 1) if "generation" in known else None,
            ufrag=known.get("ufrag"),
            extensions=tuple(extensions),
        )

    def to_sdp(self) -> str:
        """``candidate:...``, without ``a=``."""
        words = [
            f"candidate:{self.foundation}",
            str(self.component),
            self.transport,
            str(self.priority),
            self.address,
            str(self.port),
            "typ",
            self.type,
        ]
        for name, value in (
            ("raddr", self.related_address),
            ("rport", self.related_port),
            ("tcptype", self.tcp_type),
            ("generation", self.generation),
            ("ufrag", self.ufrag),
            *self.extensions,
        ):
            if value is not None:
                words += (name, str(value))
        return " ".join(words)


_KNOWN = frozenset({"raddr", "rport", "tcptype", "generation", "ufrag"})


def _number(name: str, text: str, lowest: int, highest: int) -> int:
    if _DIGITS.fullmatch(text):
        number = int(text)
        if lowest <= number <= highest:
            return number
    raise CandidateDecodeError(f"{name} is {text!r}, wanted {lowest}..{highest}")


def _address(name: str, text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        if not _NAME.fullmatch(text):
            raise CandidateDecodeError(f"{name} is {text!r}, wanted an IP address or a .local name") from None
    return text
