"""Media recordings as Janus writes them (``.mjr``): the packets of one stream, with when each came.

``MJR00002``, the length of a JSON object and the object; then for each packet ``MEET``, milliseconds since the
beginning, its length and the packet. All numbers are big-endian. ``janus-pp-rec`` makes playable files of them.
"""

import json
import struct

MAGIC = b"MJR00002"
_FRAME = struct.Struct("!4sIH")
_TIME = struct.Struct("!Q")
_MAX_LENGTH = 0xFFFF

KINDS = {"audio": "a", "video": "v", "data": "d"}


def header(kind: str, codec: str, *, created_us: int, first_us: int, extensions: dict[int, str] | None = None) -> bytes:
    """The head of a file. ``kind`` is a key of :data:`KINDS`; times are microseconds since the Unix epoch.

    ``codec`` in lower case; ``text`` for data. ``extensions`` are those of RTP headers, id to URI.
    """
    about: dict[str, object] = {"t": KINDS[kind], "c": codec}
    if extensions:
        about["x"] = {str(number): uri for number, uri in extensions.items()}
    text = json.dumps(about | {"s": created_us, "u": first_us}).encode()
    return MAGIC + len(text).to_bytes(2, "big") + text


def packet(elapsed_ms: int, data: bytes | memoryview) -> bytes:
    """One RTP packet. :raises ValueError: it is longer than 65,535 bytes."""
    if len(data) > _MAX_LENGTH:
        raise ValueError(f"data: {len(data)} bytes, wanted at most {_MAX_LENGTH}")
    return _FRAME.pack(b"MEET", elapsed_ms & 0xFFFFFFFF, len(data)) + data


def message(elapsed_ms: int, now_us: int, data: bytes) -> bytes:
    """One message of a data channel, which has no timestamp of its own. :raises ValueError: it is too long."""
    return packet(elapsed_ms, _TIME.pack(now_us) + data)
