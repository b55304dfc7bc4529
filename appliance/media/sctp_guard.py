"""Which SCTP packets (RFC 9260) aiortc must not see: it trusts lengths and ranges, and some would keep it for ever."""

from struct import Struct

COMMON_HEADER = 12
MAX_GAP_POSITIONS = 16_384
"""That the gap blocks of a packet acknowledge; more than a peer is ever sent before it answers."""
MAX_CONTROL_CHUNKS = 16
"""Of one packet. Stacks send one or two; aiortc answers each with a packet, or walks everything it has for it."""
MAX_SKIPPED_STREAMS = 64
"""That the FORWARD TSN chunks of a packet list: as many as a peer may have data channels."""

_CHUNK = Struct("!BxH")
_PARAMETER = Struct("!2xH")
_SACK = Struct("!8xH")
_GAP = Struct("!HH")
_DATA = 0
_SELECTIVE_ACK = 3
_FORWARD_TSN = 192
_PARAMETERS_AT = {1: 16, 2: 16, 4: 0, 5: 0, 6: 0, 9: 0, 130: 0}
"""Where the parameters of a chunk begin: INIT, INIT ACK, HEARTBEAT, HEARTBEAT ACK, ABORT, ERROR, RE-CONFIG."""


def is_harmful(packet: bytes) -> bool:
    """Whether a chunk has a parameter without a length, acknowledges more than can have been sent, or is one of many.

    What is merely malformed is none of it: reading that ends by itself.
    """
    at, length = COMMON_HEADER, len(packet)
    positions = controls = skipped = 0
    while at + 4 <= length:
        kind, size = _CHUNK.unpack_from(packet, at)
        if size < 4:
            return False
        body = packet[at + 4 : at + size]
        first = _PARAMETERS_AT.get(kind)
        if first is not None and _has_empty_parameter(body, first):
            return True
        if kind == _SELECTIVE_ACK:
            positions += _acknowledged(body)
            if positions > MAX_GAP_POSITIONS:
                return True
        if kind == _FORWARD_TSN:
            skipped += max(0, len(body) - 4) // 4
        controls += kind != _DATA
        if controls > MAX_CONTROL_CHUNKS or skipped > MAX_SKIPPED_STREAMS:
            return True
        at += size + -size % 4
    return False


def _has_empty_parameter(body: bytes, at: int) -> bool:
    while at + 4 <= len(body):
        (size,) = _PARAMETER.unpack_from(body, at)
        if size < 4:
            return True
        at += size + -size % 4
    return False


def _acknowledged(body: bytes) -> int:
    if len(body) < 12:
        return 0
    (count,) = _SACK.unpack_from(body, 0)
    blocks = body[12 : 12 + 4 * count]
    whole = blocks[: len(blocks) & ~3]
    return sum(max(0, end - start + 1) for start, end in _GAP.iter_unpack(whole))
