"""The contract between the core and the media engine: one PeerConnection, seen from both sides.

The core knows descriptions, candidates and facts; it never sees a packet. Everything that the engine observes comes
back as an event body, so that what a client is notified of and what an event handler hears are the same thing.
All calls are made on the event loop's thread, return at once, and never raise but where it is said.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from appliance.core.events import Body


class SdpRefusedError(ValueError):
    """A description can't be used; the message says which line and why. The client sees error 465."""


Tap = Callable[[bytes, bool], None]
"""Gets each RTP and RTCP packet in plain, and whether it came in; never raises."""
WireTap = Callable[[bytes, bool, tuple[str, int], tuple[str, int]], None]
"""Gets each datagram as it is on the wire, whether it came in, our address and theirs; never raises."""


Listener = Callable[[memoryview], None]
"""Gets each RTP packet that came on a line, in plain and only for the time of the call; never raises."""


LayerListener = Callable[[str, int], None]
"""Is told ``substream``, ``temporal`` or ``spatial``, and which one a client gets from now on; never raises."""


MLines = frozenset[str | int]
"""Some of a description's, by mid or by index."""


class Layers(Struct, frozen=True, kw_only=True):
    """Of simulcast and SVC, what a client gets and what it should get; 0 is the lowest, -1 none yet."""

    substream: int
    substream_target: int
    temporal: int
    """-1 also where there are no temporal layers."""
    temporal_target: int
    spatial: int = -1
    """Of SVC; 0 where there are no spatial layers."""
    spatial_target: int = 2


class AnswerPolicy(Struct, frozen=True, kw_only=True):
    """What a plugin lets into its answer."""

    audio: bool = True
    video: bool = True
    data: bool = True
    audio_codecs: tuple[str, ...] = ()
    """The first of them that the client offers (``opus``); empty: the client's first that anyone can forward."""
    video_codecs: tuple[str, ...] = ()
    other_codecs: bool = True
    """Where the client offers none of them, its first is taken all the same; else the m-line is rejected."""
    vp9_profile: str = ""
    """``profile-id`` that is taken where it is offered (RFC 9628 section 6); empty: the client's first."""
    h264_profile: str = ""
    """The same of ``profile-level-id`` (RFC 6184 section 8.1)."""
    extensions: tuple[str, ...] = (
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "urn:3gpp:video-orientation",
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    )
    """Header extensions answered where offered."""
    receive_only: bool = False
    """We send the client nothing in these lines, as towards a publisher."""


class SourceLine(Struct, frozen=True, kw_only=True):
    """One stream that a plugin makes itself, see :class:`MediaSource`."""

    mid: str
    kind: str
    """audio or video."""
    codec: str
    """As in a description: ``opus``, ``VP8``."""
    clock_rate: int
    """Of its timestamps; 48000 for Opus, 90000 for video."""
    channels: int = 1
    """2 for Opus, always."""
    fmtp: str | None = None
    payload_type: int = 96
    """Offered to clients where it is free; what they are sent has the number that they agreed to."""
    extensions: dict[str, int] = {}
    """Header extensions of packets from elsewhere that go on, URI to id; the others are taken away."""
    substreams: int = 1
    """Encodings of simulcast, at most 3, in which packets come from elsewhere."""


class MediaSource(Protocol):
    """Media that no client sends: a plugin makes or relays them, and routes them to clients as it would a client's."""

    dropped: int
    """Packets that could not be sent: malformed, over 1,472 bytes, or of no line."""

    def send(self, mid: str, payload: bytes, *, timestamp: int, marker: bool = False) -> None:
        """Send one packet, now; its header and sequence number are the engine's business.

        An encoded audio frame is one packet; of video, ``payload`` is what the codec's payload format makes of a frame
        (RFC 7741 for VP8), and ``marker`` is set on the last packet of a frame.
        """

    def send_packet(self, mid: str, packet: bytes, *, substream: int = 0) -> None:
        """Send an RTP packet from elsewhere: gaps in its sequence numbers stay, and those of its header extensions
        that the line has. ``substream`` says which encoding of simulcast it is of, 0 the lowest."""

    def change(self, lines: Sequence[SourceLine]) -> None:
        """Other lines from now on; what goes through those that stay, by mid, goes on.

        :raises ValueError: as of :meth:`MediaEngine.source`, and nothing has changed.
        """

    def listen(self, mid: str, listener: Listener | None, *, substream: int | None = None) -> None:
        """Show what is sent on ``mid``, as :meth:`PeerConnection.listen`."""

    def request_keyframe(self, mid: str) -> None:
        """Ask whoever makes it, throttled, as a client's request would."""

    def forward(self, mid: str, to: "PeerConnection", to_mid: str) -> None:
        """Route, as :meth:`PeerConnection.forward`."""

    def close(self) -> None:
        """End every route; nothing is sent from then on."""


class OfferLine(Struct, frozen=True, kw_only=True):
    """One m-line of an offer of ours, through which a client hears what another sends us.

    An m-line, once offered, stays in its place under its mid in every later offer; without a source it is inactive,
    until it is used again.
    """

    mid: str
    kind: str
    """audio, video or application (data channels, which need no source)."""
    source: "PeerConnection | MediaSource | None" = None
    """Whose media it will carry: codec and header extensions are those of ``source_mid``. Routing it is up to
    :meth:`PeerConnection.forward`."""
    source_mid: str = ""
    msid: str | None = None
    """Stream and track id, one space between; ``None`` makes ``janus janus<mid>``."""


class Medium(Struct, frozen=True, kw_only=True):
    """One m-line as negotiated."""

    mid: str
    mindex: int
    kind: str
    """audio, video or application."""
    direction: str
    """Ours: sendrecv, sendonly, recvonly or inactive."""
    codec: str | None = None
    rejected: bool = False
    simulcast: bool = False
    """The client sends it in several encodings at once."""
    svc: bool = False
    """The client says that it sends it in spatial layers, of a codec whose layers can be told apart here."""


class PeerObserver(Protocol):
    """What the engine tells; the core's handle implements it."""

    def fact(self, body: Body) -> None:
        """Something happened. A ``Connection(connection="hangup")`` is the last word of a PeerConnection."""

    def data_opened(self, label: str, protocol: str) -> None:
        """A data channel is open."""

    def data(self, label: str, protocol: str, message: str | bytes) -> None:
        """A message came on a data channel."""


class PeerConnection(Protocol):
    """What the core and, through it, a plugin may ask of the engine."""

    media: tuple[Medium, ...]
    """As negotiated last; empty before."""
    up: bool
    """ICE and DTLS are done."""

    @property
    def send_estimate_bps(self) -> int | None:
        """What the way to the client carries, by its transport-wide feedback; ``None`` while it has told nothing."""

    def set_remote_offer(self, sdp: str, *, lowest_rid_first: bool = False, svc: MLines = frozenset()) -> None:
        """Read an offer (also a renegotiation or an ICE restart). Emits nothing.

        ``lowest_rid_first`` says in which order simulcast is listed; ``svc`` names the m-lines sent in layers.

        :raises SdpRefusedError: nothing has changed.
        """

    def gather(self, *, trickle: bool) -> None:
        """After a remote description: emit gathering, the candidates in the description, our own; begin to listen.

        ``trickle`` false means that the description holds every candidate.
        """

    def create_answer(self, policy: AnswerPolicy) -> str:
        """The answer to the offer set last, with our candidates in it; emits connecting when ICE can begin."""

    def create_offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> str:
        """An offer with every m-line in order; emits gathering and our candidates when it is the first.

        Nothing flows in a new or changed m-line before the answer.

        :raises SdpRefusedError: a source has no such medium, or m-lines are missing or moved; nothing has changed.
        """

    def set_remote_answer(self, sdp: str) -> None:
        """Read the answer to :meth:`create_offer`. Emits nothing; :meth:`gather` then begins ICE.

        :raises SdpRefusedError: nothing has changed, and the answer is still due.
        """

    def add_remote_candidate(self, candidate: str) -> None:
        """Trickle: the attribute's value, with or without ``candidate:``. Malformed or too many: counted, ignored."""

    def end_of_candidates(self) -> None:
        """The client has no more."""

    def forward(self, mid: str, to: "PeerConnection", to_mid: str) -> None:
        """Route: RTP received on ``mid`` goes out on ``to_mid`` of ``to``, with its reports and key frame requests.

        Takes the place of what was routed there, whose numbers it continues (a switch). Does nothing where a line is
        missing, ``to_mid`` isn't sent on, or the codecs differ: those need an offer first.
        """

    def unforward(self, mid: str) -> None:
        """End the route to our own ``mid``; its numbers go on when there is another."""

    def set_sending(self, mid: str, *, active: bool) -> None:
        """Let a route's packets out, or hold them back; the sequence numbers stay continuous."""

    def set_layers(
        self,
        mid: str,
        *,
        substream: int | None = None,
        temporal: int | None = None,
        spatial: int | None = None,
        fallback_us: int | None = None,
        told: LayerListener | None = None,
    ) -> None:
        """What the client is to get on ``mid``, where its source sends simulcast; ``None`` leaves things as they are.

        Substreams and layers are 0..2, and the highest at first. Another substream begins with a key frame, which is
        asked for; where the wanted one is silent for ``fallback_us`` (250,000 at first), the next lower one stands in.
        ``told`` hears of every change from then on. Remembered, whatever the source is later.

        Of a source without simulcast, once ``spatial`` was given, the layers of VP9 and AV1 are chosen from: spatial
        layers above it are left out from the next picture on, and let in at a key frame, which is asked for.
        """

    def set_playout_delay(self, mid: str, delay_ms: tuple[int, int] | None) -> None:
        """How long the client is told to hold ``mid`` before it plays it: least and most, 0..40,950 ms.

        Told in each packet, where the client has agreed to the playout delay extension; ``None``: what the source says.
        """

    def layers(self, mid: str) -> Layers | None:
        """What the client gets on ``mid``; ``None`` where there is nothing to choose from, see :meth:`set_layers`."""

    def set_bitrate(self, bps: int) -> None:
        """Cap what the client sends, by REMB; 0 takes the cap away."""

    def listen(self, mid: str, listener: Listener | None, *, substream: int | None = None) -> None:
        """Show what the client sends on ``mid`` to ``listener``, in place of who listened before; ``None`` ends it.

        Of simulcast it hears the highest encoding that comes, as one stream that begins with a key frame; or, with
        ``substream``, that one as it comes. Without simulcast nobody hears a substream.
        """

    def request_keyframe(self, mid: str) -> None:
        """PLI towards the client, throttled."""

    def send_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """Send on the data channel of that label; dropped and counted when it is not open."""

    def set_tap(self, tap: Tap | None) -> None:
        """Show every packet that comes and goes to ``tap``; ``None`` ends it."""

    def set_wire_tap(
        self, tap: WireTap | None, secrets: Callable[[str], None] | None = None, *, media: bool = True
    ) -> None:
        """Show every datagram, encrypted as it is, to ``tap``; ``None`` ends it. Without ``media``, STUN, DTLS and no
        RTP: that costs media nothing.

        ``secrets`` gets the lines of an SSLKEYLOGFILE from the handshake, if that is still to come.
        """

    def close(self, reason: str | None) -> None:
        """End it. With a reason, a hangup is emitted with it; without (detach, destroy), only the last statistics."""

    def describe(self) -> dict[str, Any]:
        """The live state, in the shape of Janus's ``handle_info`` key ``webrtc``."""


class MediaEngine(Protocol):
    """Makes PeerConnections."""

    def open(self, observer: PeerObserver) -> PeerConnection:
        """A new one, which emits nothing before its first description."""

    def source(self, lines: Sequence[SourceLine], keyframe: Callable[[str], None] | None = None) -> MediaSource:
        """A source of a plugin's own; ``keyframe`` is told the mid of which a client needs one, twice a second at most.

        :raises ValueError: two lines have the same mid, one is neither audio nor video, or there are too many.
        """

    def settings(self) -> dict[str, Any]:
        """What :meth:`configure` can change, as it is: ``no_media_timer`` (seconds) and ``slowlink_threshold``."""

    def configure(self, **changes: float) -> None:
        """Change settings of running PeerConnections and of those to come."""
