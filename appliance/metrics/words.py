"""What events say, as label values."""

import re

from appliance.core.events import DtlsDetail, SelectedPair
from appliance.metrics.family import OTHER

_PAIR = re.compile(r"\[(\w+),(\w+)\] <-> .* ?\[(\w+),(\w+)\]$")
_TRANSPORTS = {"websockets": "websocket", "pfunix": "unix"}


def reason_word(reason: str) -> str:
    """Janus's reason of a hangup: ``DTLS alert`` is dtls_alert."""
    return reason.lower().replace(" ", "_").replace("-", "_")


def plugin_word(package: str) -> str:
    """``janus.plugin.echotest`` is echotest."""
    return package.removeprefix("janus.plugin.")


def transport_word(package: str) -> str:
    """``janus.transport.websockets`` is websocket, as our own section is called."""
    word = package.removeprefix("janus.transport.")
    return _TRANSPORTS.get(word, word)


def pair_words(body: SelectedPair) -> tuple[str, str, str, str]:
    """Type of our candidate and of theirs, transport, and family (4 or 6); ``other`` where Janus's text is unknown."""
    if body.candidates is not None:
        ours, theirs = body.candidates.local, body.candidates.remote
        return ours.type, theirs.type, ours.transport, str(ours.family)
    match = _PAIR.search(body.pair)
    if match is None:
        return OTHER, OTHER, OTHER, OTHER
    return match[1], match[3], match[2], "6" if body.pair.count(":") > 2 else "4"


def failure_word(body: DtlsDetail) -> str | None:
    """Why a handshake that has not succeeded will fail; ``None``: that does not show."""
    received, expected = body.fingerprint_received, body.fingerprint_expected
    if received is not None and expected is not None and received.upper() != expected.upper():
        return "fingerprint_mismatch"
    if body.alert is not None and body.alert.level == "fatal":
        return "alert_received" if body.alert.direction == "received" else "alert_sent"
    if body.version is not None and body.srtp_profile is None and received is not None:
        return "no_srtp_profile"
    return None
