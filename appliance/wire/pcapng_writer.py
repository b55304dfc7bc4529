"""Makes the blocks of a pcapng file (draft-ietf-opsawg-pcapng): one section, one interface of raw IP, comments."""

import struct

from appliance.wire.pcap import SNAPLEN, LinkType

SECTION = 0x0A0D0D0A
INTERFACE = 1
ENHANCED_PACKET = 6
SECRETS = 10
_TLS_KEY_LOG = 0x544C534B
_COMMENT = 1
_IF_NAME = 2
_IF_RESOLUTION = 9
_USER_APPLICATION = 4
MAX_OPTION = 65_535


def _option(code: int, value: bytes) -> bytes:
    value = value[:MAX_OPTION]
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def header(*, comment: str = "", application: str = "appliance", interface: str = "") -> bytes:
    """Section header and the interface that every packet is on; times are in microseconds."""
    options = _option(_COMMENT, comment.encode()) if comment else b""
    options += _option(_USER_APPLICATION, application.encode()) + _option(0, b"")
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options
    named = (_option(_IF_NAME, interface.encode()) if interface else b"") + _option(_IF_RESOLUTION, b"\x06")
    return _block(SECTION, section) + _block(
        INTERFACE, struct.pack("<HHI", LinkType.RAW, 0, SNAPLEN) + named + _option(0, b"")
    )


def secrets(key_log: str) -> bytes:
    """A Decryption Secrets Block with the lines of an SSLKEYLOGFILE, before the packets that it opens."""
    data = key_log.encode("ascii")
    return _block(SECRETS, struct.pack("<II", _TLS_KEY_LOG, len(data)) + data + bytes(-len(data) % 4))


def packet(timestamp_us: int, packet: bytes, *, cut: int = 0, comment: str = "") -> bytes:
    """One IP packet, or without its last ``cut`` bytes, whose absence the file tells."""
    kept = packet[: len(packet) - cut]
    head = struct.pack("<IIIII", 0, timestamp_us >> 32 & 0xFFFFFFFF, timestamp_us & 0xFFFFFFFF, len(kept), len(packet))
    options = _option(_COMMENT, comment.encode()) + _option(0, b"") if comment else b""
    return _block(ENHANCED_PACKET, head + kept + bytes(-len(kept) % 4) + options)
