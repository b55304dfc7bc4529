"""The table of verdicts: read from the top, the first row that holds is the verdict.

Its order is an argument. A description that was refused explains everything after it; ICE comes before DTLS, DTLS
before media; a cause comes before what it looks like from further away (undecryptable packets before "no media", a
lost network before the session's time-out, congestion before the losses it shows as). Rows that say how a call
ended stand last, because a call can end in good order after it went badly. The rows themselves, signs beside words,
are in the modules of this package, by the step of the call; ``docs/verdicts.md`` is made from them.
"""

from appliance.diagnosis.rules import dtls, end, first_media, ice, path, quality, signalling, standing
from appliance.diagnosis.rules.rule import Rule

__all__ = ["RULES", "Rule"]

RULES: tuple[Rule, ...] = (
    # --- signalling
    signalling.sdp_invalid,
    signalling.sdp_unexpected,
    signalling.codec_mismatch,
    signalling.no_answer,
    signalling.no_local_answer,
    # --- candidates and ICE
    ice.gathering_failed,
    ice.no_remote_candidates,
    ice.mdns_only,
    ice.nat_1_1_missing,
    # Before blocked UDP, whose advice (use TURN) such a client follows already.
    ice.turn_unreachable,
    ice.udp_blocked_or_firewall,
    ice.one_way_network,
    ice.ice_credentials_mismatch,
    ice.ice_failed_unknown,
    # --- DTLS
    dtls.fingerprint_mismatch,
    dtls.dtls_role_conflict,
    dtls.dtls_alert_sent,
    dtls.dtls_alert_received,
    dtls.srtp_no_profile,
    dtls.dtls_mtu,
    dtls.dtls_no_response,
    dtls.dtls_failed_unknown,
    # --- media that should be there
    first_media.srtp_decrypt_failed,
    first_media.rtp_unroutable,
    first_media.no_media_from_client,
    first_media.one_way_audio,
    first_media.no_video_from_client,
    first_media.no_media_to_client,
    # --- a path that went, or media that ceased
    path.network_lost,
    end.session_timeout,
    path.media_stopped,
    path.network_interrupted,
    # --- quality: several may hold
    first_media.no_keyframe,
    quality.congestion,
    quality.uplink_loss,
    quality.downlink_loss,
    quality.bandwidth_drop,
    quality.high_jitter,
    quality.keyframe_storm,
    path.unstable_path,
    quality.clock_or_timestamp_fault,
    quality.loss_repaired,
    # --- how it ended
    end.end_untold,
    end.normal_close,
    end.client_gone,
    end.ended_by_admin,
    end.ended_by_plugin,
    end.server_shutdown,
    end.ended_by_app,
    end.ended_unknown,
    end.cancelled,
    # --- how it stands
    # A muted microphone is mostly meant, so that it stands beside what became of the call.
    standing.silent_source,
    standing.healthy,
    standing.in_progress,
    standing.no_peer_connection,
    standing.evidence_incomplete,
)
"""Every row, in the order in which they are tried."""
