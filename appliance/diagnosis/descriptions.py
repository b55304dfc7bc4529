"""What a verdict needs of an SDP: m-lines with mid, direction, codecs, setup role; tolerant, because it only explains.

The descriptions are those of the events, so they have been accepted (or refused) by a gateway already. Whatever can't
be read here is left out; nothing is raised.
"""

from msgspec import Struct

from appliance.diagnosis.candidates import Candidate, parse_candidate

MAX_LINES = 5_000
MAX_MEDIA = 64
MAX_CODECS = 64
MAX_CANDIDATES = 100


class MediaLine(Struct, kw_only=True):
    """One m-line (RFC 8866 section 5.14) and the attributes that explain a call."""

    mid: str
    """The index where the line has none (before BUNDLE, or a very old client)."""
    kind: str
    """audio, video, application or what else stands there."""
    port: int = 0
    direction: str = "sendrecv"
    """The side's own that wrote it: sendrecv, sendonly, recvonly or inactive."""
    codecs: list[str] = []
    """Encoding names as offered, without ``rtx``, ``red`` and their like."""
    setup: str | None = None
    """active, passive or actpass (RFC 4145 section 4)."""
    fingerprints: list[str] = []
    """``sha-256 AA:BB...``."""
    bundle_only: bool = False

    @property
    def rejected(self) -> bool:
        """Port 0 refuses the medium, unless it says that it lives in a bundle (RFC 9143 section 6)."""
        return self.port == 0 and not self.bundle_only

    @property
    def sends(self) -> bool:
        """Whether the side that wrote it means to send."""
        return not self.rejected and self.direction in {"sendrecv", "sendonly"}

    @property
    def receives(self) -> bool:
        """Whether the side that wrote it is ready to receive."""
        return not self.rejected and self.direction in {"sendrecv", "recvonly"}

    @property
    def is_rtp(self) -> bool:
        """Audio or video; data channels have no RTP."""
        return self.kind in {"audio", "video"}


class Description(Struct, kw_only=True):
    """An offer or an answer, read."""

    owner: str
    """remote: the client wrote it; local: we did."""
    type: str
    timestamp_us: int
    event_id: int
    media: list[MediaLine] = []
    candidates: list[Candidate] = []
    """Those that stand in the SDP; trickled ones come as events."""
    ice_ufrag: str | None = None
    sdp: str = ""
    """The text itself, where it is kept."""

    def line(self, mid: str) -> MediaLine | None:
        """The m-line of that mid."""
        return next((line for line in self.media if line.mid == mid), None)


# Repair and comfort noise beside a codec: nobody misses them where the codec itself was agreed on.
_NO_CODEC = {"rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn"}
_STATIC = {"0": "PCMU", "8": "PCMA", "9": "G722"}


def read_description(sdp: str, *, owner: str, kind: str, timestamp_us: int, event_id: int) -> Description:
    """Read what can be read. Never raises."""
    found = Description(owner=owner, type=kind, timestamp_us=timestamp_us, event_id=event_id, sdp=sdp)
    direction, setup = "sendrecv", None
    fingerprints: list[str] = []
    payloads: list[str] = []
    line: MediaLine | None = None
    for text in sdp.splitlines()[:MAX_LINES]:
        key, _, value = text.partition("=")
        if key == "m":
            _close(line, payloads)
            if len(found.media) >= MAX_MEDIA:
                break
            words = value.split()
            line = MediaLine(
                mid=str(len(found.media)),
                kind=words[0] if words else "",
                port=_port(words[1]) if len(words) > 1 else 0,
                direction=direction,
                setup=setup,
                fingerprints=list(fingerprints),
            )
            payloads = words[3:]
            found.media.append(line)
        elif key == "a":
            name, _, rest = value.partition(":")
            if name in {"sendrecv", "sendonly", "recvonly", "inactive"}:
                if line is None:
                    direction = name
                else:
                    line.direction = name
            elif name == "setup":
                if line is None:
                    setup = rest.strip()
                else:
                    line.setup = rest.strip()
            elif name == "fingerprint":
                (fingerprints if line is None else line.fingerprints).append(rest.strip())
            elif name == "ice-ufrag":
                found.ice_ufrag = found.ice_ufrag or rest.strip()
            elif name == "candidate" and len(found.candidates) < MAX_CANDIDATES:
                candidate = parse_candidate(rest)
                if candidate is not None and candidate not in found.candidates:
                    found.candidates.append(candidate)
            elif line is not None and name == "mid":
                line.mid = rest.strip()
            elif line is not None and name == "bundle-only":
                line.bundle_only = True
            elif line is not None and name == "rtpmap" and len(line.codecs) < MAX_CODECS:
                codec = rest.partition(" ")[2].partition("/")[0]
                if codec and codec.lower() not in _NO_CODEC and codec not in line.codecs:
                    line.codecs.append(codec)
    _close(line, payloads)
    return found


def _close(line: MediaLine | None, payloads: list[str]) -> None:
    """Static payload types need no rtpmap (RFC 3551 section 6)."""
    if line is None or line.codecs:
        return
    line.codecs.extend(_STATIC[payload] for payload in payloads if payload in _STATIC)


def _port(text: str) -> int:
    digits = text.partition("/")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 5 else 0


def fingerprints_match(expected: str, received: str) -> bool | None:
    """Whether a certificate is one that the SDP named; ``None`` where it named none of that hash.

    ``expected`` may hold several, ``sha-256 AA:BB sha-512 CC:DD`` (RFC 8122 section 5); one that fits is enough.
    """
    words = expected.lower().split()
    wanted = list(zip(words[::2], words[1::2], strict=False))
    algorithm, _, value = received.lower().strip().partition(" ")
    values = [each for name, each in wanted if name == algorithm]
    return value.strip() in values if values else None
