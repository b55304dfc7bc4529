"""Pure codecs: bytes or text in, values out, and back. No socket, no clock, no randomness."""
