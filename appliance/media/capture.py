"""Captures of one handle's decrypted packets, as files in one folder and nowhere else.

A pcap has the addresses that the packets took (SRTP made plain, so the sizes differ), or 10.1.1.1:1000 and
10.2.2.2:2000 while there is no pair, as Janus always has. The other format is for ``text2pcap``.
"""

import logging
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from appliance.core.clock import Clock
from appliance.core.events import PairAddresses
from appliance.wire.pcap import Writer

logger = logging.getLogger(__name__)

MAX_CAPTURES = 32
"""At once: each holds a file open."""
BUFFER_BYTES = 262_144
"""Written at once, so that a packet costs no system call."""
PEER, OURSELVES = ("10.1.1.1", 1000), ("10.2.2.2", 2000)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=,-]{0,199}")


class PacketFile:
    """Implements :class:`appliance.core.admin_tools.Capture`."""

    def __init__(
        self, files: "CaptureFiles", path: Path, file: BinaryIO, *, text: bool, truncate: int, about: str
    ) -> None:
        self.path = str(path)
        self.text = text
        self.packets = 0
        self.lost = 0
        """Packets that came after the file was full, or could not be written."""
        self._files = files
        self._file = file
        self._truncate = truncate
        self._about = about
        self._written = 0
        self._writer = Writer()
        self._full = False
        if not text:
            self._write(self._writer.file_header())

    def packet(self, data: bytes, *, incoming: bool, pair: PairAddresses | None) -> None:
        """Write one RTP or RTCP packet."""
        if self._full:
            self.lost += 1
            return
        now_us = self._files.clock.wall_us()
        self._write(self._text(now_us, data, incoming) if self.text else self._record(now_us, data, incoming, pair))
        self.packets += 1

    def _record(self, now_us: int, data: bytes, incoming: bool, pair: PairAddresses | None) -> bytes:
        peer, ourselves = PEER, OURSELVES
        if pair is not None:
            peer, ourselves = (pair.remote.address, pair.remote.port), (pair.local.address, pair.local.port)
        source, destination = (peer, ourselves) if incoming else (ourselves, peer)
        keep = self._truncate or None
        try:
            return self._writer.record(now_us * 1000, source, destination, data, keep=keep)
        except (OSError, ValueError):
            # A candidate may have a name instead of an address.
            source, destination = (PEER, OURSELVES) if incoming else (OURSELVES, PEER)
            return self._writer.record(now_us * 1000, source, destination, data, keep=keep)

    def _text(self, now_us: int, data: bytes, incoming: bool) -> bytes:
        at = datetime.fromtimestamp(now_us / 1_000_000, UTC).strftime("%H:%M:%S.%f")
        kind = "RTCP" if len(data) > 1 and 192 <= data[1] < 224 else "RTP"
        shown = data[: self._truncate] if self._truncate else data
        way = "I" if incoming else "O"
        return f"{way} {at} 000000  {shown.hex(' ')} JANUS_TEXT2PCAP_{kind} {self._about}\r\n".encode()

    def _write(self, data: bytes) -> None:
        if self._written + len(data) > self._files.max_bytes:
            self._end(f"it has {self._files.max_bytes} bytes")
            return
        try:
            self._file.write(data)
        except OSError as problem:
            self._end(problem.strerror or str(problem))
            return
        self._written += len(data)

    def _end(self, why: str) -> None:
        self._full = True
        self.lost += 1
        logger.warning("capture %s takes no more: %s", self.path, why)

    def close(self) -> None:
        """Write what is left."""
        self._files.forget(self)
        try:
            self._file.close()
        except OSError as problem:
            logger.warning("capture %s: %s", self.path, problem.strerror or problem)


class CaptureFiles:
    """Implements :class:`appliance.core.admin_tools.Captures`: files below ``folder``, none beyond ``max_bytes``."""

    def __init__(self, folder: Path, clock: Clock, *, max_bytes: int) -> None:
        self.clock = clock
        self.max_bytes = max_bytes
        self._folder = folder.resolve()
        self._open: dict[str, PacketFile] = {}

    def start(self, *, text: bool, folder: str, filename: str, truncate: int, about: str) -> PacketFile:
        """Open one; a file of that name is written anew.

        :raises ValueError: the name is none, the place is outside, or it is being written already.
        :raises OSError: it can't be opened.
        """
        if len(self._open) >= MAX_CAPTURES:
            raise ValueError(f"{MAX_CAPTURES} captures run already")
        name = filename or f"janus-text2pcap-{secrets.randbits(32)}.{'txt' if text else 'pcap'}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"filename is {filename[:200]!r}, wanted letters, digits and ._+@=,- only")
        place = (self._folder / folder).resolve()
        if not place.is_relative_to(self._folder):
            raise ValueError(f"folder is {folder[:200]!r}, wanted one below {self._folder}")
        path = place / name
        if str(path) in self._open:
            raise ValueError(f"{path} is being written already")
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not through a link that somebody has put there, nor into a pipe that would hold us up.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.fdopen(os.open(path, flags, 0o600), "wb", BUFFER_BYTES)
        capture = PacketFile(self, path, file, text=text, truncate=truncate, about=about)
        self._open[capture.path] = capture
        return capture

    def forget(self, capture: PacketFile) -> None:
        """It is closed."""
        self._open.pop(capture.path, None)

    def close(self) -> None:
        """End those that still run."""
        for capture in list(self._open.values()):
            capture.close()
