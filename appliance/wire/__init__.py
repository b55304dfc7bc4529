"""Pure codecs: bytes in, values out. RTP, RTCP, STUN, DTLS records, SDP, pcap."""
