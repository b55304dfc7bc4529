"""The WebRTC engine: ICE-lite, DTLS, SRTP, RTP and RTCP on one UDP port, nothing decoded."""
