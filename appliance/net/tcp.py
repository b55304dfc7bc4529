"""What TCP tells of a connection on which the peer never says anything."""

import contextlib
import fcntl
import socket
import struct
import termios

_ESTABLISHED = 1
_MIN_RTT = 148
"""Where ``tcpi_min_rtt`` is in ``struct tcp_info``, which only grows at its end."""
_MICROSECONDS = struct.Struct("I")
_UNKNOWN = 0xFFFFFFFF
_NUMBER = struct.Struct("i")


def keep_alive(raw: socket.socket) -> None:
    """Send at once what is written, and notice within a minute that an idle peer has vanished."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def unacknowledged(raw: socket.socket) -> int:
    """Bytes that were written and that the peer's kernel has not acknowledged (Linux, tcp(7), SIOCOUTQ).

    0 where the system does not tell.
    """
    number = 0
    if hasattr(termios, "TIOCOUTQ"):
        with contextlib.suppress(OSError, ValueError):
            (number,) = _NUMBER.unpack(fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(_NUMBER.size)))
    return number


def established(raw: socket.socket) -> bool:
    """Whether the peer has neither closed nor reset the connection, as far as the kernel knows (``TCP_INFO``)."""
    if not hasattr(socket, "TCP_INFO"):
        return True
    try:
        return bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0] == _ESTABLISHED)
    except OSError:
        return False


def round_trip(raw: socket.socket) -> float:
    """The shortest of the connection so far, seconds, by the kernel's own clock: a busy program does not lengthen it.

    0 where the system does not tell (Linux 4.6 and later do, in ``tcpi_min_rtt``).
    """
    if not hasattr(socket, "TCP_INFO"):
        return 0.0
    try:
        info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _MIN_RTT + _MICROSECONDS.size)
        (micros,) = _MICROSECONDS.unpack_from(info, _MIN_RTT)
    except (OSError, struct.error):
        return 0.0
    return 0.0 if micros == _UNKNOWN else micros / 1e6
