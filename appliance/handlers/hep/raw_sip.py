"""The SIP messages that a Janus SIP plugin tells of (type 64, ``sip-in`` and ``sip-out``): real ones, as they are.

Their addresses are those that the message itself tells: a request goes from its topmost Via to its Request-URI, a
response from its Contact back to that Via. A host name in their place says nothing that a packet could carry.
"""

import re
from typing import NamedTuple

from appliance.core.events import Plugin
from appliance.handlers.hep.addresses import Place, parse_address, parse_port
from appliance.handlers.hep.legs import RAW_SIP
from appliance.hep.message import TCP, UDP

SIP_PORT = 5060
_REQUEST = re.compile(r"[A-Z]{3,16} (\S{1,1000}) SIP/2\.0\r\n")
_RESPONSE = re.compile(r"SIP/2\.0 \d{3} [^\r\n]*\r\n")
_CALL_ID = re.compile(r"^(?:call-id|i)[ \t]*:[ \t]*(\S{1,500})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_CSEQ = re.compile(r"^cseq[ \t]*:[ \t]*\d+[ \t]+\w{3,}[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_VIA = re.compile(
    r"^(?:via|v)[ \t]*:[ \t]*SIP/2\.0/(\w+)[ \t]+([^;,\r\n]{1,300})([^,\r\n]*)", re.IGNORECASE | re.MULTILINE
)
_CONTACT = re.compile(r"^(?:contact|m)[ \t]*:[^\r\n]{0,300}?(sips?:[^>;\s]{1,300})", re.IGNORECASE | re.MULTILINE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:;\[\]>]+)(?::(\d{1,5}))?")


class RawSip(NamedTuple):
    """One message with what its headers tell; ``None`` for an end that they don't."""

    call_id: str
    payload: bytes
    src: Place | None
    dst: Place | None
    protocol: int


def raw_sip(body: Plugin) -> RawSip | None:
    """The message of a plugin's event; ``None`` where there is none, or nothing that receivers take for SIP."""
    text, what = body.data.get("sip"), body.data.get("event")
    if not isinstance(what, str) or what not in RAW_SIP or not isinstance(text, str):
        return None
    if "\r\n" not in text:
        text = text.replace("\n", "\r\n")
    text = text.lstrip()
    request = _REQUEST.match(text)
    call_id = _CALL_ID.search(text)
    if call_id is None or not (request or _RESPONSE.match(text)) or not _CSEQ.search(text) or "\0" in text:
        return None
    if "\r\n\r\n" not in text:
        text = text.rstrip("\r\n") + "\r\n\r\n"
    via = _VIA.search(text)
    asker = None if via is None else _via_place(via[2], via[3])
    if request is not None:
        answerer = _uri_place(request[1])
    else:
        contact = _CONTACT.search(text)
        answerer = None if contact is None else _uri_place(contact[1])
    src, dst = (asker, answerer) if request is not None else (answerer, asker)
    protocol = UDP if via is None or via[1].upper() == "UDP" else TCP
    return RawSip(call_id[1], text.encode("utf-8", "replace"), src, dst, protocol)


def _via_place(sent_by: str, parameters: str) -> Place | None:
    """Where it came from: ``received`` and ``rport`` (RFC 3581) where they are, else what the sender wrote."""
    found = _HOST.match(sent_by.strip())
    received = re.search(r";[ \t]*received=([^;\s]+)", parameters)
    rport = re.search(r";[ \t]*rport=(\d{1,5})", parameters)
    host = received[1] if received else found[1] if found else ""
    port = rport[1] if rport else found[2] if found else None
    return _place(host, port)


def _uri_place(uri: str) -> Place | None:
    _, colon, rest = uri.partition(":")
    found = _HOST.match(rest.rpartition("@")[2]) if colon else None
    return None if found is None else _place(found[1], found[2])


def _place(host: str, port: str | None) -> Place | None:
    address = parse_address(host)
    return None if address is None else Place(address, parse_port(int(port)) if port else SIP_PORT)
