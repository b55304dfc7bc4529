"""Hides who was in a call from the capture server: addresses, ICE credentials, names.

An event is masked before anything is made of it, so that SDP, JSON, SIP headers and the packets' own addresses agree.
What stands for a value is a keyed hash of it: the same in every message, of the same form, and not to be turned back
without the key. Left as they are: loopback and unspecified addresses, ports, and the gateways' names.
"""

import hashlib
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import msgspec
from msgspec.structs import replace

from appliance.core.events import Event, External, Plugin, SelectedPair, Unknown

WORDS = ("addresses", "ice", "names")
"""What can be masked."""
MAX_DEPTH = 50
"""Of a body's JSON; what is nested deeper is left out."""
NAME_KEYS = frozenset({
    "opaque_id", "display", "displayname", "feed_display", "username", "identity", "caller", "callee", "user_agent",
    "referred_by", "description", "feed_description", "metadata", "feed_metadata",
})  # fmt: skip
"""Keys of plugins' events whose text names a person."""
ICE_KEYS = frozenset({"ufrag", "pwd", "ice-ufrag", "ice-pwd", "usernameFragment", "ice_ufrag", "ice_pwd"})

_V4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:](?![\w:])")
_MDNS = re.compile(r"\b([\w-]{1,63})\.local\b")
_ICE_LINE = re.compile(r"(?m)^(a=ice-(?:ufrag|pwd):)(\S+)")
_ICE_WORD = re.compile(r"\b(ufrag\s+)(\S+)")
_SDP_OWNER = re.compile(r"(?m)^(o=)(\S+)(?= \d)")
_SDP_NAME = re.compile(r"(?m)^([seu]=)(\S[^\r\n]+)")
_SIP_USER = re.compile(r"(sips?:)([^@\s;>:]+)(?=[^\s;>@]{0,100}@)")
_SIP_DISPLAY = re.compile(r'"((?:[^"\\\r\n]|\\.)*)"(?=\s*<sips?:)')
_SIP_BARE_DISPLAY = re.compile(
    r"(?im)^((?:from|to|contact|[fmt]|p-asserted-identity)[ \t]*:[ \t]*)([^\s\"<][^\"<\r\n]*?)(?=\s*<)"
)
_SIP_LOGIN = re.compile(r'(?i)(username=)"([^"]*)"')
_MASKS_V4 = IPv4Network("240.0.0.0/4")
_MASKS_V6 = IPv6Network("fd6d:6173:6b00::/48")
_ANYONE = {"-", "anonymous"}


def parse_words(text: str) -> frozenset[str]:
    """Read ``"addresses, ice"``. :raises ValueError: a word is unknown; the message names it and the known ones."""
    words = frozenset(text.replace(",", " ").lower().split())
    for word in sorted(words - {*WORDS, "all", "none"}):
        raise ValueError(f"unknown word {word!r}; known: {', '.join(WORDS)}, all, none")
    return frozenset(WORDS) if "all" in words else words - {"none"}


class Masker:
    """Masks events. The same key gives the same masks."""

    def __init__(self, words: frozenset[str], key: bytes) -> None:
        """``key`` is secret, 16 to 64 bytes. :raises ValueError: it is shorter or longer."""
        if not 16 <= len(key) <= 64:
            raise ValueError(f"key: {len(key)} bytes came, wanted 16 to 64")
        self._key = key
        self._names = "names" in words
        steps: list[Callable[[str], str]] = []
        if "ice" in words:
            steps.append(self._ice)
        if self._names:
            steps.append(self._named)
        if "addresses" in words:
            steps.append(self._addresses)
        self._steps = steps
        self._hidden_keys = (NAME_KEYS if self._names else frozenset()) | (ICE_KEYS if "ice" in words else frozenset())
        self._place = self._addresses if "addresses" in words else None

    def _digest(self, kind: str, value: str, size: int = 16) -> bytes:
        data = f"{kind}\0{value}".encode("utf-8", "replace")
        return hashlib.blake2b(data, key=self._key, digest_size=size).digest()

    def word(self, kind: str, value: str) -> str:
        """What stands for a name or a credential."""
        return value if value in _ANYONE or not value else f"{kind}{self._digest(kind, value, 8).hex()}"

    def address(self, text: str) -> str:
        """One in 240.0.0.0/4 or fd6d:6173:6b00::/48, where nobody lives; what is none is given back."""
        try:
            address = ip_address(text)
        except ValueError:
            return text
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return f"::ffff:{self.address(str(address.ipv4_mapped))}"
        if address.is_loopback or address.is_unspecified or address in _MASKS_V4 or address in _MASKS_V6:
            return text
        digest = self._digest("address", str(address))
        if address.version == 4:
            # Not 255.255.255.255, which is broadcast.
            return str(IPv4Address(int(_MASKS_V4[0]) | int.from_bytes(digest[:4], "big") % 0x0FFF_FFFF))
        return str(IPv6Address(_MASKS_V6[0].packed[:6] + digest[:10]))

    def _addresses(self, text: str) -> str:
        text = _V4.sub(lambda found: self.address(found[0]), text)
        if ":" in text:
            text = _V6.sub(lambda found: self.address(found[0]), text)
        return _MDNS.sub(lambda found: f"{self._digest('host', found[1]).hex()}.local", text)

    def _ice(self, text: str) -> str:
        text = _ICE_LINE.sub(lambda found: found[1] + self._credential(found[2]), text)
        return _ICE_WORD.sub(lambda found: found[1] + self._credential(found[2]), text)

    def _credential(self, value: str) -> str:
        """At least 22 characters, as a password has (RFC 8839 section 5.4)."""
        return self._digest("ice", value, 12).hex()

    def _named(self, text: str) -> str:
        """Names in SDP and SIP, which have their places."""
        text = _SDP_OWNER.sub(lambda found: found[1] + self.word("user-", found[2]), text)
        text = _SDP_NAME.sub(lambda found: found[1] + self.word("name-", found[2]), text)
        if "sip" not in text:
            return text
        text = _SIP_DISPLAY.sub(lambda found: f'"{self.word("name-", found[1])}"', text)
        text = _SIP_BARE_DISPLAY.sub(lambda found: found[1] + self.word("name-", found[2]), text)
        text = _SIP_USER.sub(lambda found: found[1] + self.word("name-", found[2]), text)
        return _SIP_LOGIN.sub(lambda found: f'{found[1]}"{self.word("name-", found[2])}"', text)

    def text(self, text: str) -> str:
        """Free text."""
        for step in self._steps:
            text = step(text)
        return text

    def value(self, value: Any) -> Any:
        """JSON of any shape."""
        return self._value(value, ())

    def _value(self, value: Any, names: tuple[str, ...], depth: int = 0) -> Any:
        if isinstance(value, str):
            for name in names:
                value = value.replace(name, self.word("name-", name))
            return self.text(value)
        if depth >= MAX_DEPTH:
            return None if isinstance(value, dict | list | tuple) else value
        if isinstance(value, dict):
            return {
                self.text(str(key)): self._hidden(key, inner, names, depth)
                for key, inner in value.items()
            }  # fmt: skip
        if isinstance(value, list | tuple):
            return [self._value(inner, names, depth + 1) for inner in value]
        return value

    def _hidden(self, key: str, value: Any, names: tuple[str, ...], depth: int) -> Any:
        if key in self._hidden_keys:
            kind = "name-" if key in NAME_KEYS else "ice-"
            return self.word(kind, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        if key == "sip" and isinstance(value, str):
            return _right_length(self._value(value, names))
        return self._value(value, names, depth + 1)

    def event(self, item: Event) -> Event:
        """The same event with what is to be hidden replaced."""
        body = item.event
        names = (item.opaque_id,) if self._names and item.opaque_id else ()
        if isinstance(body, SelectedPair):
            body = replace(body, pair=self._pair(body.pair))
        # The schema has no free text that a name could be in, but here.
        inner_names = names if isinstance(body, External | Plugin | Unknown) and len("".join(names)) > 2 else ()
        plain = body.content if isinstance(body, Unknown) else msgspec.to_builtins(body)
        masked = self._value(plain, inner_names)
        if isinstance(body, SelectedPair):
            masked["selected-pair"] = body.pair
        made = Unknown(content=masked) if isinstance(body, Unknown) else msgspec.convert(masked, type(body))
        opaque_id = self.word("name-", item.opaque_id) if names and item.opaque_id else item.opaque_id
        return replace(item, event=made, opaque_id=opaque_id)

    def _pair(self, text: str) -> str:
        """``ip:port [type,proto] <-> ...``: an IPv6 address there is not told from its port by any form of its own."""
        if self._place is None:
            return text
        halves = []
        for half in text.split(" <-> "):
            place, space, rest = half.partition(" ")
            host, colon, port = place.rpartition(":")
            halves.append(f"{self._place(host)}{colon}{port}{space}{rest}")
        return " <-> ".join(halves)


def _right_length(sip: str) -> str:
    """Masks are longer or shorter than what they stand for."""
    head, end, body = sip.partition("\r\n\r\n")
    if not end:
        return sip
    length = len(body.encode("utf-8", "replace"))
    return re.sub(r"(?im)^(content-length|l)([ \t]*:[ \t]*)\d+", rf"\g<1>\g<2>{length}", head) + end + body
