"""Finds calls in a capture: signalling, ICE, DTLS, RTP and RTCP on the wire become the events a gateway would tell."""
