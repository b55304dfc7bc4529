"""Timeline and verdict: a pure fold over the events of one PeerConnection."""
