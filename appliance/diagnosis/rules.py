"""The table of verdicts: read from the top, the first row that holds is the verdict.

Its order is an argument. A description that was refused explains everything after it; ICE comes before DTLS, DTLS
before media; a cause comes before what it looks like from further away (undecryptable packets before "no media", a
lost network before the session's time-out, congestion before the losses it shows as). Rows that say how a call
ended stand last, because a call can end in good order after it went badly. ``docs/verdicts.md`` is made from this.
"""

from collections.abc import Callable
from string import Formatter

from msgspec import Struct

from appliance.diagnosis import end_rules as end
from appliance.diagnosis import media_rules as media
from appliance.diagnosis import setup_rules as setup
from appliance.diagnosis.case import Case, Finding


class Rule(Struct, frozen=True, kw_only=True):
    """One row. In ``sentence``, ``{name}`` is a figure of the finding."""

    code: str
    phase: str
    """The step at which the call stands or fell, see :data:`appliance.diagnosis.words.PHASES`."""
    severity: str
    actor: str
    when: Callable[[Case], Finding | None]
    sentence: str
    advice: str
    disproof: str
    """What, if it were seen, would show that this verdict is wrong."""
    absence: bool = False
    """It rests on something that did not come: a hole in the evidence could have swallowed that."""
    beside: bool = False
    """It may hold together with others, and is then told of under ``also``."""

    @property
    def signs(self) -> str:
        """What it looks for, in one line: the first of the function's docstring."""
        return (self.when.__doc__ or "").strip().splitlines()[0]

    def say(self, finding: Finding) -> str:
        """The sentence with its figures."""
        return Formatter().vformat(self.sentence, (), finding.detail)


RULES: tuple[Rule, ...] = (
    # --- signalling
    Rule(
        code="sdp_invalid",
        phase="signalling",
        severity="fault",
        actor="application developer",
        when=setup.sdp_invalid,
        sentence="The server refused the session description (error {error}): {reason}",
        advice="Send the browser's description unchanged, and whole; the error names what could not be used.",
        disproof="A later description of the same handle that the server accepted.",
    ),
    Rule(
        code="sdp_unexpected",
        phase="signalling",
        severity="fault",
        actor="application developer",
        when=setup.sdp_unexpected,
        sentence="A session description came when none was due: {reason}",
        advice="Answer each offer once, on the handle it came on; after an error begin again with a new offer.",
        disproof="An offer of ours on this handle before that answer.",
    ),
    Rule(
        code="codec_mismatch",
        phase="signalling",
        severity="fault",
        actor="application developer",
        when=setup.codec_mismatch,
        sentence="All audio and video was refused in the answer; the offer had: {offered}.",
        advice="Compare the codecs of offer and answer, and let the plugin or the client use one that both have.",
        disproof="An accepted audio or video line in the answer.",
    ),
    Rule(
        code="no_answer",
        phase="signalling",
        severity="fault",
        actor="application developer",
        when=setup.no_answer,
        absence=True,
        sentence="The server's offer has not been answered for {seconds} s.",
        advice="See what the client does with the offer: an error of setRemoteDescription, or an event nobody handles.",
        disproof="An answer of the client's on this handle.",
    ),
    Rule(
        code="no_local_answer",
        phase="signalling",
        severity="fault",
        actor="server operator",
        when=setup.no_local_answer,
        absence=True,
        sentence="The client's offer has not been answered by the server for {seconds} s.",
        advice="Read the plugin's reply to that message: it may have refused the request (room, rights, codecs).",
        disproof="An answer of the server's on this handle.",
    ),
    # --- candidates and ICE
    Rule(
        code="gathering_failed",
        phase="gathering",
        severity="fault",
        actor="server operator",
        when=setup.gathering_failed,
        absence=True,
        sentence="The server found no address of its own to offer.",
        advice="Check the interface filter, the UDP port range, and the STUN or TURN server that the server uses.",
        disproof="A local candidate in an event or in the server's description.",
    ),
    Rule(
        code="no_remote_candidates",
        phase="ice",
        severity="fault",
        actor="application developer",
        when=setup.no_remote_candidates,
        absence=True,
        sentence="The client never told where it can be reached: no candidate came in {seconds} s after the answer.",
        advice="Check that the application trickles its candidates on this handle, and that nothing (a policy, an"
        " extension, a relay-only setting without TURN) keeps the browser from finding any.",
        disproof="A candidate in the client's description, in a trickle, or learnt from its packets.",
    ),
    Rule(
        code="mdns_only",
        phase="ice",
        severity="fault",
        actor="application developer",
        when=setup.mdns_only,
        absence=True,
        sentence="The client gave nothing but .local names ({candidates}), which only its own network can resolve,"
        " and none of its packets arrived to show another address.",
        advice="Ask for camera or microphone first (browsers then show real addresses), or configure STUN or TURN in"
        " the client; if the server is public, also check that UDP reaches it.",
        disproof="A peer-reflexive candidate, or any STUN packet of the client's.",
    ),
    Rule(
        code="nat_1_1_missing",
        phase="ice",
        severity="fault",
        actor="server operator",
        when=setup.nat_1_1_missing,
        absence=True,
        sentence="The server offered private addresses alone ({local}, ...) to a client on the public Internet.",
        advice="Tell the server its public address (nat_1_1_mapping, or the announced addresses of the media section).",
        disproof="A STUN packet of the client's at the server, or a public local candidate.",
    ),
    Rule(
        code="udp_blocked_or_firewall",
        phase="ice",
        severity="fault",
        actor="network",
        when=setup.udp_blocked_or_firewall,
        absence=True,
        sentence="No UDP packet got through: {sent} STUN requests to {pairs} of the client's addresses, not one"
        " answered, and none of the client's came in.",
        advice="Open UDP to the server's media port in the firewalls between, or offer TURN over TCP or TLS (443).",
        disproof="Any STUN request or answer from the client, or the same client connecting over UDP elsewhere.",
    ),
    Rule(
        code="one_way_network",
        phase="ice",
        severity="fault",
        actor="server operator",
        when=setup.one_way_network,
        absence=True,
        sentence="The client's packets arrive ({received} STUN requests), but our {answered} answers do not reach it.",
        advice="Check the way back: outgoing firewall of the server, asymmetric routing, a NAT that maps the reply to"
        " another address or port.",
        disproof="A pair that the client nominated, or an answer to a request of ours.",
    ),
    Rule(
        code="ice_credentials_mismatch",
        phase="ice",
        severity="fault",
        actor="application developer",
        when=setup.ice_credentials_mismatch,
        sentence="STUN packets came with the wrong user name or password ({refused} refused): the two sides hold"
        " descriptions of different exchanges.",
        advice="Apply the answer that belongs to the latest offer; after an ICE restart, to both sides.",
        disproof="A STUN request on these pairs that was accepted.",
    ),
    Rule(
        code="turn_unreachable",
        phase="ice",
        severity="fault",
        actor="network",
        when=setup.turn_unreachable,
        sentence="The client had relayed addresses alone ({relays}), and none of them led to the server.",
        advice="Check that the TURN server may send UDP to the server's media port, and its permissions and quotas.",
        disproof="A pair with a relayed candidate that answered.",
    ),
    Rule(
        code="ice_failed_unknown",
        phase="ice",
        severity="fault",
        actor="network",
        when=setup.ice_failed_unknown,
        sentence="ICE failed after {seconds} s with {local} local and {remote} remote candidates; the events do not"
        " say in which direction packets were lost.",
        advice="Look at the addresses of both sides: is each reachable from the other? A capture at the server tells"
        " whether the client's STUN packets arrive.",
        disproof="A connected ICE state after the failure.",
    ),
    # --- DTLS
    Rule(
        code="fingerprint_mismatch",
        phase="dtls",
        severity="fault",
        actor="application developer",
        when=setup.fingerprint_mismatch,
        sentence="The client's certificate is not the one its description announced, so the call was refused.",
        advice="Look for a description that belongs to another PeerConnection (cached, cloned, mixed up in"
        " signalling); if there is none, somebody may be in between.",
        disproof="Equal fingerprints in the SDP and of the certificate in the handshake.",
    ),
    Rule(
        code="dtls_role_conflict",
        phase="dtls",
        severity="fault",
        actor="application developer",
        when=setup.dtls_role_conflict,
        sentence="Both sides declared themselves {setup} for DTLS, so the handshake cannot take place.",
        advice="Leave a=setup as the browser wrote it; an answer to actpass is active or passive, never a copy.",
        disproof="A finished handshake.",
    ),
    Rule(
        code="dtls_alert_sent",
        phase="dtls",
        severity="fault",
        actor="application developer",
        when=setup.dtls_alert_sent,
        sentence="The server refused the client's DTLS handshake: {alert} ({number}).",
        advice="Compare DTLS versions, ciphers and SRTP profiles of both; a very old client may have none in common.",
        disproof="A finished handshake.",
    ),
    Rule(
        code="dtls_alert_received",
        phase="dtls",
        severity="fault",
        actor="application developer",
        when=setup.dtls_alert_received,
        sentence="The client refused the server's DTLS handshake: {alert} ({number}); {hint}.",
        advice="For a certificate alert, check that the client got the server's own answer: a fingerprint that was"
        " changed or that belongs to another server does this.",
        disproof="A finished handshake, or the alert coming after it.",
    ),
    Rule(
        code="srtp_no_profile",
        phase="dtls",
        severity="fault",
        actor="application developer",
        when=setup.srtp_no_profile,
        sentence="DTLS succeeded, but the two sides have no SRTP protection profile in common.",
        advice="Enable one of AES-128-GCM, AES-256-GCM or AES128_CM_HMAC_SHA1_80 on both sides.",
        disproof="A negotiated SRTP profile.",
    ),
    Rule(
        code="dtls_mtu",
        phase="dtls",
        severity="fault",
        actor="network",
        when=setup.dtls_mtu,
        sentence="The small parts of the client's DTLS messages arrive and the full-sized ones do not: something on"
        " the way drops large packets.",
        advice="Find the firewall or tunnel that drops UDP packets above about 1,200 bytes, or fragments.",
        disproof="The first fragment of the ClientHello at the server.",
    ),
    Rule(
        code="dtls_no_response",
        phase="dtls",
        severity="fault",
        actor="network",
        when=setup.dtls_no_response,
        absence=True,
        sentence="ICE connected, but no DTLS packet of the client's came in {seconds} s.",
        advice="Suspect a middlebox that lets STUN pass and drops DTLS, or a client that had closed already.",
        disproof="Any DTLS record of the client's.",
    ),
    Rule(
        code="dtls_failed_unknown",
        phase="dtls",
        severity="fault",
        actor="network",
        when=setup.dtls_failed_unknown,
        sentence="The DTLS handshake failed after {seconds} s ({records} records of the client's); the events do not"
        " say why.",
        advice="Capture the handshake at the server: repeated flights mean loss, an alert names its reason.",
        disproof="A finished handshake.",
    ),
    # --- media that should be there
    Rule(
        code="srtp_decrypt_failed",
        phase="first_media",
        severity="fault",
        actor="application developer",
        when=media.srtp_decrypt_failed,
        sentence="{count} packets of the client's failed their SRTP authentication ({received} were good).",
        advice="Keys differ: look for a renegotiation with a new DTLS association on one side only, or for packets of"
        " another call at this port.",
        disproof="Packets of the same SSRC that authenticate.",
    ),
    Rule(
        code="rtp_unroutable",
        phase="first_media",
        severity="fault",
        actor="application developer",
        when=media.rtp_unroutable,
        sentence="{count} packets of the client's belong to no negotiated stream ({received} do).",
        advice="Compare payload types, mids and SSRCs with the last answer: it may not have been applied.",
        disproof="A negotiated payload type or mid that these packets carry.",
    ),
    Rule(
        code="no_media_from_client",
        phase="first_media",
        severity="fault",
        actor="client",
        when=media.no_media_from_client,
        absence=True,
        sentence="The call was up, but the client sent no {media} at all in {seconds} s, although it had agreed to.",
        advice="Check permission, a muted or missing device, and that the track was added before the offer.",
        disproof="RTP of the client's, or a description in which it does not send.",
    ),
    Rule(
        code="one_way_audio",
        phase="first_media",
        severity="fault",
        actor="client",
        when=media.one_way_audio,
        absence=True,
        sentence="Audio goes one way only: none {direction} in {seconds} s.",
        advice="From the client: microphone, permission, track. To the client: is there anybody to be heard?",
        disproof="Audio packets in that direction.",
    ),
    Rule(
        code="no_video_from_client",
        phase="first_media",
        severity="notice",
        actor="client",
        when=media.no_video_from_client,
        absence=True,
        sentence="The client's audio comes, but no video in {seconds} s, although it had agreed to send some.",
        advice="Nothing, if the camera is meant to be off; else check permission and the device.",
        disproof="Video packets of the client's.",
    ),
    Rule(
        code="no_media_to_client",
        phase="first_media",
        severity="notice",
        actor="application developer",
        when=media.no_media_to_client,
        absence=True,
        sentence="The server had agreed to send, and sent nothing in {seconds} s.",
        advice="Check that the plugin has a source for this client: nobody may be publishing.",
        disproof="Packets sent on that medium.",
    ),
    # --- a path that went, or media that ceased
    Rule(
        code="network_lost",
        phase="media",
        severity="fault",
        actor="network",
        when=media.network_lost,
        absence=True,
        sentence="The client's packets ceased all at once and nothing more came for {seconds} s: its network went"
        " (a change of network, sleep), or its page was closed without a word; the two look alike from here.",
        advice="Let the client watch its connection state and restart ICE after some 10 s; look at its network.",
        disproof="Any packet of the client's after that moment, or a close_notify.",
    ),
    Rule(
        code="session_timeout",
        phase="end",
        severity="fault",
        actor="client",
        when=media.session_timeout,
        sentence="The client's application stopped calling the server (no keep-alive in time), so its session and"
        " call were ended.",
        advice="Look for a suspended tab or a lost WebSocket; send keep-alives, and claim the session on reconnect."
        " This is no failure of the media.",
        disproof="A request of this session within the time-out.",
    ),
    Rule(
        code="media_stopped",
        phase="media",
        severity="notice",
        actor="application developer",
        when=media.media_stopped,
        absence=True,
        sentence="The client stopped sending {media} {seconds} s before the end, without negotiating it{doubt}.",
        advice="A mute that stops the track does this, as do an unplugged device and a crashed encoder; a mute that"
        " disables the track does not.",
        disproof="Packets of that medium after that moment.",
    ),
    Rule(
        code="network_interrupted",
        phase="media",
        severity="fault",
        actor="network",
        when=media.network_interrupted,
        beside=True,
        sentence="The path was gone for {seconds} s and came back ({times} times): packets were sent and did not come.",
        advice="Look at the client's network at that time: a change of access point, Wi-Fi to mobile, a VPN.",
        disproof="Packet numbers without a hole over that time (the client had paused).",
    ),
    # --- quality: several may hold
    Rule(
        code="congestion",
        phase="media",
        severity="fault",
        actor="network",
        when=media.congestion,
        beside=True,
        sentence="Packets were lost both ways ({percent} % of the client's) while the round trip rose from {best_ms} to"
        " {rtt_ms} ms: the line was full.",
        advice="Lower the bitrate, or find what else uses the client's line.",
        disproof="A steady round trip during the loss.",
    ),
    Rule(
        code="uplink_loss",
        phase="media",
        severity="fault",
        actor="client",
        when=media.uplink_loss,
        beside=True,
        sentence="Up to {percent} % of the {media} that the client sent was lost on its way to the server"
        " ({average_percent} % of the whole call).",
        advice="The client's upload is weak: a cable or a better place for Wi-Fi, or a lower bitrate.",
        disproof="The client's own sent count equal to what arrived.",
    ),
    Rule(
        code="downlink_loss",
        phase="media",
        severity="fault",
        actor="client",
        when=media.downlink_loss,
        beside=True,
        sentence="Up to {percent} % of the {media} that the server sent did not reach the client"
        " ({average_percent} % of the whole call).",
        advice="The client's download is weak: a cable or a better place for Wi-Fi, or fewer and smaller streams.",
        disproof="Receiver reports without loss for that time.",
    ),
    Rule(
        code="bandwidth_drop",
        phase="media",
        severity="notice",
        actor="network",
        when=media.bandwidth_drop,
        beside=True,
        sentence="The bandwidth that reaches the client fell by {percent} % within seconds while its round trip grew.",
        advice="A full buffer on the way (bufferbloat): look for a large transfer on the client's line.",
        disproof="A steady round trip at that time.",
    ),
    Rule(
        code="high_jitter",
        phase="media",
        severity="notice",
        actor="client",
        when=media.high_jitter,
        beside=True,
        sentence="The client's audio arrived unevenly (jitter up to {jitter_ms} ms), with little loss.",
        advice="Wi-Fi in a crowded place, or a busy computer; a larger playout delay hides it.",
        disproof="Jitter under 30 ms at the server in that time.",
    ),
    Rule(
        code="keyframe_storm",
        phase="media",
        severity="notice",
        actor="client",
        when=media.keyframe_storm,
        beside=True,
        sentence="The client asked for a new key frame {per_second} times a second: it kept losing its picture.",
        advice="Look for loss towards the client, a decoder that fails, or a sender that ignores the requests.",
        disproof="Fewer than one request in two seconds.",
    ),
    Rule(
        code="unstable_path",
        phase="media",
        severity="notice",
        actor="network",
        when=media.unstable_path,
        beside=True,
        sentence="The path changed {changes} times: the client moves between networks, or a pair keeps failing.",
        advice="Look at the addresses of the selected pairs: Wi-Fi against mobile, IPv4 against IPv6.",
        disproof="The same addresses in all selected pairs.",
    ),
    Rule(
        code="loss_repaired",
        phase="media",
        severity="notice",
        actor="nobody",
        when=media.loss_repaired,
        beside=True,
        sentence="{percent} % of the client's packets had to be asked for again, and came: hardly anybody will have"
        " noticed.",
        advice="Nothing; if it gets worse it becomes loss.",
        disproof="A media link quality well under 100.",
    ),
    # --- how it ended
    Rule(
        code="normal_close",
        phase="end",
        severity="good",
        actor="nobody",
        when=end.normal_close,
        sentence="The client closed the call after {seconds} s; all was well.",
        advice="Nothing. (Janus names this hangup a DTLS alert; it is the close_notify of a client that leaves.)",
        disproof="A fatal alert.",
    ),
    Rule(
        code="client_gone",
        phase="end",
        severity="notice",
        actor="nobody",
        when=end.client_gone,
        sentence="The client's API connection closed and took the call with it after {seconds} s: the page was closed"
        " or reloaded, or its network went; which, cannot be told from here.",
        advice="Nothing, if people just close the page. To tell them apart, let the page hang up when it is left.",
        disproof="A hangup or detach before the connection closed.",
    ),
    Rule(
        code="ended_by_admin",
        phase="end",
        severity="good",
        actor="nobody",
        when=end.ended_by_admin,
        sentence="An administrator ended the call after {seconds} s; all was well until then.",
        advice="Nothing.",
        disproof="No hang-up in the Admin API's log.",
    ),
    Rule(
        code="ended_by_plugin",
        phase="end",
        severity="good",
        actor="nobody",
        when=end.ended_by_plugin,
        sentence="The server's plugin ended the call after {seconds} s (unpublished, kicked, or the other side left);"
        " all was well until then.",
        advice="Nothing.",
        disproof="No such request at the plugin.",
    ),
    Rule(
        code="server_shutdown",
        phase="end",
        severity="notice",
        actor="server operator",
        when=end.server_shutdown,
        sentence="The server was stopped {seconds} s into the call.",
        advice="Drain a server before it is stopped: take no new sessions, and wait for the calls to end.",
        disproof="Events of the same server after that.",
    ),
    Rule(
        code="ended_by_app",
        phase="end",
        severity="good",
        actor="nobody",
        when=end.ended_by_app,
        sentence="The application ended the call after {seconds} s; all was well.",
        advice="Nothing.",
        disproof="No hang-up, detach or destroy request of the application's.",
    ),
    Rule(
        code="ended_unknown",
        phase="end",
        severity="notice",
        actor="server operator",
        when=end.ended_unknown,
        sentence="The call ended after {seconds} s, and the server's reason says nothing: {reason}.",
        advice="Look into the server's log at that time.",
        disproof="A known reason.",
    ),
    Rule(
        code="cancelled",
        phase="signalling",
        severity="notice",
        actor="nobody",
        when=end.cancelled,
        sentence="The call was given up {seconds} s into its set-up, before anything had failed.",
        advice="Nothing; if it happens often, see how long the set-up usually takes.",
        disproof="A failure before the end.",
    ),
    # --- how it stands
    Rule(
        code="healthy",
        phase="media",
        severity="good",
        actor="nobody",
        when=end.healthy,
        sentence="The call is up and well for {seconds} s{note}.",
        advice="Nothing.",
        disproof="Media that was agreed on and does not flow.",
    ),
    Rule(
        code="in_progress",
        phase="signalling",
        severity="good",
        actor="nobody",
        when=end.in_progress,
        sentence="The call is being set up for {seconds} s; nothing is late yet.",
        advice="Wait.",
        disproof="A failure in one of its phases.",
    ),
    Rule(
        code="no_peer_connection",
        phase="signalling",
        severity="good",
        actor="nobody",
        when=end.no_peer_connection,
        sentence="This handle was used without media: no session description was ever exchanged on it.",
        advice="Nothing; handles that only create rooms or ask for lists look like this.",
        disproof="An offer or an answer on this handle.",
    ),
    Rule(
        code="evidence_incomplete",
        phase="signalling",
        severity="notice",
        actor="server operator",
        when=end.evidence_incomplete,
        sentence="Too little of this call was seen to judge it ({dropped} events are known to be missing).",
        advice="Look at the event queues and the link between gateway and collector.",
        disproof="The missing events.",
    ),
)
"""Every row, in the order in which they are tried."""
