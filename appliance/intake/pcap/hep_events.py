"""Events out of the packets of this project's own HEP handler: logs (type 100) as they were, JSEP out of its SIP."""

import re
from collections.abc import Iterator

from appliance.core.events import Event, EventDecodeError, Jsep, SessionDescription, event
from appliance.hep import message
from appliance.intake import dialect

_SYNTHETIC = re.compile(rb"\r\nX-Synthetic: (offer|answer) from (remote|local)", re.IGNORECASE)
_CORRELATION = re.compile(r"(\d{1,16})-(\d{1,16})-\d{1,9}@([A-Za-z0-9.-]{1,64})")


def read(data: bytes) -> Iterator[Event]:
    """The events of one packet; none where it holds something else.

    :raises EventDecodeError: it is no HEP, or its payload no event.
    """
    try:
        packet = message.decode(data)
    except message.HepDecodeError as problem:
        raise EventDecodeError(str(problem)) from None
    if packet.payload_type == message.PayloadType.LOG:
        content = dialect.decode(packet.payload)
        if isinstance(content, dict) and "type" in content and content.get("name") not in {"jsep", "verdict"}:
            yield from dialect.read_one(_numbers(content))
    elif packet.payload_type == message.PayloadType.SIP:
        found = _SYNTHETIC.search(packet.payload)
        ids = _CORRELATION.fullmatch(packet.correlation_id or "")
        sdp = packet.payload.partition(b"\r\n\r\n")[2]
        if found is None or ids is None or not sdp:
            return
        yield event(
            Jsep(
                owner=found[2].decode().lower(),
                jsep=SessionDescription(found[1].decode().lower(), sdp.decode("utf-8", "replace")),
            ),
            emitter=ids[3],
            timestamp=packet.timestamp_us,
            session_id=int(ids[1]),
            handle_id=int(ids[2]),
        )


def _numbers(content: dict[str, object]) -> dict[str, object]:
    """Ids travel as text there, because JavaScript would round them."""
    for name in ("session_id", "handle_id"):
        value = content.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            content[name] = int(value)
    return {key: value for key, value in content.items() if key not in {"name", "text", "room", "display", "id"}}
