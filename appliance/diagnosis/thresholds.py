"""The numbers behind the verdicts, each with where it comes from. Seconds, ratios, milliseconds as named."""

# --- setting up ----------------------------------------------------------------------------------------------

ANSWER_WAIT_S = 10.0
"""An offer of ours that an application has not answered by then; janus.js answers within a second."""
RING_WAIT_S = 180.0
"""The same where somebody has to pick up the phone; SIP gives a call that long (RFC 3261 section 16.6, timer C)."""
CANDIDATE_WAIT_S = 3.0
"""After the answer. A browser trickles its host candidates within 100 ms; only STUN and TURN take seconds."""
ICE_WAIT_S = 5.0
"""Before silence on every pair says anything: ten probes of ours (two a second), and Chromium's first retries."""
GATHERING_WAIT_S = 5.0
DTLS_WAIT_S = 5.0
"""Without any record after nomination; the client repeats its ClientHello after 50 ms to 1 s (RFC 9147 section 5.8)."""
DTLS_RETRANSMISSIONS = 3
"""Flights that we sent again in vain where a server tells nothing else: with doubling timers, 7 s."""

# --- media ---------------------------------------------------------------------------------------------------

NO_MEDIA_S = 5.0
"""ObserveRTC calls a track dry after 5 s; Janus says receiving:false after 1 s, which a DTX pause can reach."""
LOST_NETWORK_S = 5.0
"""Pion calls a connection disconnected after 5 s without a packet; consent checks come each 5 s (RFC 7675)."""
INTERRUPTION_LOSS = 0.3
"""After a silence: lost packets above this share of what the silence would have held were sent, not muted."""
PAIR_CHANGES = 3
PAIR_CHANGES_S = 30.0
"""ObserveRTC: three changes of the selected pair within 30 s are an unstable path."""

LOSS_WINDOW = 7
"""Samples (one a second by default) over which loss is averaged: Twilio Voice Insights, 7 samples."""
LOSS_BAD_SAMPLES = 3
"""How many of them must exceed the threshold by themselves, so that one burst or one odd report is no verdict."""
LOSS_AUDIO = 0.03
"""Twilio: more than 3 %."""
LOSS_VIDEO = 0.02
"""LiveKit: video leaves EXCELLENT at 2 %."""
LOSS_MIN_PACKETS = 30
"""In the window; below it (DTX sends 2.5 a second) one lost packet would already be a percentage."""
LOSS_MIN_LOST = 5
LOSS_CALL_SHARE = 0.05
LOSS_CALL_S = 30.0
"""A final verdict of loss wants bad seconds of 5 % of the call, or 30 s of them in a long one."""

JITTER_MS = 30.0
JITTER_WINDOW = 5
JITTER_BAD_SAMPLES = 3
"""Twilio: above 30 ms in 3 of 5 samples. Audio alone: video's figure holds the pacing of its frames."""
RTT_RISE_MS = 100.0
"""Above the call's best, for congestion: G.107's delay term starts to hurt at 177 ms one way."""
REMB_FALL = 0.5
REMB_WINDOW_S = 10.0
NO_KEYFRAME_S = 5.0
KEYFRAME_REQUESTS = 2
"""Unanswered for that long; a browser answers with its next frame. One lost request is none where pictures came before;
at the beginning of a stream we ask by ourselves, and one is enough."""
KEYFRAME_REQUESTS_PER_S = 0.5
KEYFRAME_WINDOW_S = 10.0
"""More than one request in two seconds, for ten: a storm."""
NACK_SHARE = 0.10
REPAIRED_QUALITY = 95.0
"""NACKs for 10 % of the packets while Janus's media link quality stays this high: loss, but repaired."""
FAULT_SHARE = 0.1
FAULT_MIN = 10
"""SRTP or routing errors that count: a tenth of the packets, or any number when nothing else arrives."""
CLOCK_DRIFT = 0.02
"""Timestamps that run this much faster or slower than the sender's own clock. Browsers stay within 0.1 %; rates of
44.1 kHz that are called 48 kHz are 8 % off."""
CLOCK_JUMP = 1.0
"""Beyond it is a jump (another source under the same SSRC), not a rate."""
CLOCK_STEP_S = 1.8
"""Between reports that are compared; closer ones tell more of when a busy sender got to it than of rates."""
CLOCK_INTERVALS = 3
CLOCK_WINDOW_S = 10.0
"""So long, in so many reports in a row, and always in the same direction."""
SILENT_BYTES = 48.0
"""Mean bytes of a packet with its RTP header and extensions; one of speech at 24 kbit/s has over 70."""
SILENT_SPREAD = 2.0
"""Bytes by which the mean of a second may differ from the first one's."""
SILENT_S = 10.0

# --- live verdicts -------------------------------------------------------------------------------------------

OPEN_AFTER = 2
"""Evaluations in a row that must agree before a fault is told of a live call."""
RESOLVE_AFTER = 3
"""And as many without it before it is taken back."""
