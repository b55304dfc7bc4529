"""Reads a file of any kind that tells of calls: a recording's bundle, pcap, pcapng, Janus's text2pcap, events as JSON;
gzip around any.
"""

import itertools
import mmap
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
from msgspec import Struct

from appliance.core.correlation import safe_server_name
from appliance.core.events import Event, EventDecodeError
from appliance.intake.files import BYTE_ORDER_MARK, read_events
from appliance.intake.pcap.reader import CaptureReader, OutOfOrderError
from appliance.intake.pcap.tally import Tally
from appliance.wire.ordered import in_order
from appliance.wire.pcap import PcapDecodeError, Skipped, Source, is_pcap, is_pcapng
from appliance.wire.pcapng import key_logs
from appliance.wire.text2pcap import Text2pcapDecodeError, is_text2pcap, to_pcap

if TYPE_CHECKING:
    from appliance.intake.pcap.keys import KeyLog

MAX_UNPACKED = 4 * 2**30
"""Bytes that a compressed file may have in truth."""
MAX_EVENTS = 2_000_000
MAX_PROBLEMS = 5
MAX_BACK_US = 1_000_000
"""That an event may be behind the one before it, as queues mix them up; where it is more, they are put in order."""
_PIECE = 2**20
_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


class RecordingError(ValueError):
    """The file can't be read, or holds nothing of a call; the message names it and says why."""


class Recording(Struct, kw_only=True):
    """What a file held."""

    name: str
    kind: str
    """bundle, pcap, pcapng, text2pcap or events; captures where several are one."""
    events: list[Event]
    """In order, without ids."""
    tally: Tally | None = None
    """Of a capture."""
    problems: list[str] = []
    """The first few lines that were no events."""
    refused: int = 0
    """How many there were."""


def read_recording(path: Path, key_log: bytes = b"") -> Recording:
    """Read a whole file; ``key_log`` has the lines of an SSLKEYLOGFILE. :raises RecordingError: see there."""
    with _told(path), _opened(path) as (file, plain):
        return _read(path, file, plain, key_log)


def read_together(paths: Sequence[Path], key_log: bytes = b"") -> Recording:
    """Read files that hold parts of the same calls: those of a capture that began a new file now and then, of several
    interfaces or machines; or rotated files of events.

    :raises RecordingError: see there; or some hold packets and others events.
    """
    first = paths[0]
    with ExitStack() as stack:
        captures: list[Source] = []
        told: list[Recording] = []
        for path in paths:
            with _told(path):
                file, plain = stack.enter_context(_opened(path))
                if _is_capture(file.read(4)):
                    captures.append(stack.enter_context(_mapped(file)))
                else:
                    told.append(_read(path, file, plain, key_log))
        if captures and told:
            raise RecordingError(f"{told[0].name}: holds events, others hold packets: wanted one or the other together")
        if captures:
            with _told(first):
                secrets = b"".join(b"".join(key_logs(data)) for data in captures if is_pcapng(data))
                return _sorted(first, "captures", captures, key_log + secrets)
    events = [item for recording in told for item in recording.events]
    return Recording(
        name=first.name,
        kind="events",
        events=sorted(events, key=lambda item: item.timestamp)[:MAX_EVENTS],
        problems=[problem for recording in told for problem in recording.problems][:MAX_PROBLEMS],
        refused=sum(recording.refused for recording in told),
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong with a file is said with its name."""
    try:
        yield
    except OSError as problem:
        raise RecordingError(f"{path}: {problem.strerror or problem}") from None
    except (PcapDecodeError, Text2pcapDecodeError, EventDecodeError) as problem:
        raise RecordingError(f"{path}: {problem}") from None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """The file without compression, and where it lies."""
    with path.open("rb") as file:
        if file.read(2) != _GZIP:
            file.seek(0)
            yield file, path
            return
        with tempfile.NamedTemporaryFile() as unpacked:
            _unpack(path, unpacked)
            unpacked.seek(0)
            yield unpacked, Path(unpacked.name)


def _mapped(file: IO[bytes]) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _is_capture(head: bytes) -> bool:
    return is_pcap(head) or is_pcapng(head)


def _unpack(path: Path, unpacked: IO[bytes]) -> None:
    """As far as it goes: a capture that is still being written has no end yet."""
    size = 0
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        with path.open("rb") as packed:
            while waiting := packed.read(_PIECE):
                while waiting:
                    piece = inflate.decompress(waiting, _PIECE)
                    size += len(piece)
                    if size > MAX_UNPACKED:
                        raise RecordingError(f"{path}: more than {MAX_UNPACKED} bytes when unpacked")
                    unpacked.write(piece)
                    waiting = inflate.unconsumed_tail
                    if inflate.eof:
                        waiting, inflate = inflate.unused_data, zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    except zlib.error as problem:
        raise RecordingError(f"{path}: gzip: {problem}") from None
    unpacked.flush()


def _read(path: Path, file: IO[bytes], plain: Path, key_log: bytes) -> Recording:
    """``path`` is what it is called, ``plain`` where it lies uncompressed."""
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if not head:
        raise RecordingError(f"{path}: is empty")
    name = _name(path)
    if _is_capture(head):
        with _mapped(file) as data:
            return _capture(path, "pcapng" if is_pcapng(head) else "pcap", name, data, key_log)
    if is_text2pcap(head):
        pieces = to_pcap(file, _midnight_ns(path))
        with tempfile.TemporaryFile() as made:
            for piece in pieces:
                made.write(piece)
            made.flush()
            with _mapped(made) as data:
                return _capture(path, "text2pcap", name, data)
    if head.startswith(_ZIP):
        return _bundle(path, file)
    if head.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] not in {b"{", b"["}:
        raise RecordingError(
            f"{path}: begins with {head[:8]!r}, wanted a capture (pcap, pcapng, text2pcap), a bundle or events as JSON"
        )
    return _events(path, plain, "events")


def _bundle(path: Path, file: IO[bytes]) -> Recording:
    from appliance.recording.bundle import EVENTS, BundleError, OpenBundle

    try:
        events = OpenBundle(file).read(EVENTS)
    except BundleError as problem:
        raise RecordingError(f"{path}: {problem}") from None
    with tempfile.NamedTemporaryFile() as told:
        told.write(events)
        told.flush()
        return _events(path, Path(told.name), "bundle")


def _events(path: Path, plain: Path, kind: str) -> Recording:
    problems: list[str] = []
    refused = 0

    def on_problem(line: int, problem: str) -> None:
        nonlocal refused
        refused += 1
        if len(problems) < MAX_PROBLEMS:
            problems.append(f"line {line}: {problem}")

    events = list(itertools.islice(read_events(plain, on_problem), MAX_EVENTS))
    if not events:
        why = f": {problems[0]}" if problems else ""
        raise RecordingError(f"{path}: no event in it{why}")
    if any(later.timestamp < before.timestamp - MAX_BACK_US for before, later in itertools.pairwise(events)):
        events.sort(key=lambda item: item.timestamp)
    return Recording(name=path.name, kind=kind, events=events, problems=problems, refused=refused)


def _midnight_ns(path: Path) -> int:
    """The beginning of the day on which the file was last written, since its lines tell the time of day alone."""
    day = int(path.stat().st_mtime) // 86_400 * 86_400
    return day * 10**9


def _capture(path: Path, kind: str, name: str, data: Source, key_log: bytes = b"") -> Recording:
    reader = CaptureReader(name, _keys(data, kind, key_log))
    try:
        events = reader.read(data)
    except OutOfOrderError:
        if kind == "pcapng":
            key_log += b"".join(key_logs(data))
        return _sorted(path, kind, [data], key_log)
    if not events:
        raise RecordingError(f"{path}: {_why_nothing(reader.tally)}")
    return Recording(name=path.name, kind=kind, events=events, tally=reader.tally)


def _sorted(path: Path, kind: str, captures: Sequence[Source], key_log: bytes) -> Recording:
    skipped = Skipped()
    with tempfile.TemporaryFile() as made:
        in_order(captures, made, skipped)
        with _mapped(made) as data:
            found = _capture(path, kind if kind != "pcapng" else "pcap", _name(path), data, key_log)
    if found.tally is not None:
        skipped.malformed += found.tally.skipped.malformed
        skipped.fragments += found.tally.skipped.fragments
        found.tally.skipped = skipped
        found.tally.was_sorted = True
    return msgspec.structs.replace(found, kind=kind)


def _name(path: Path) -> str:
    return safe_server_name(path.name.partition(".")[0])


def _keys(data: Source, kind: str, key_log: bytes) -> "KeyLog | None":
    texts = [key_log] if key_log else []
    if kind == "pcapng":
        texts += key_logs(data)
    if not texts:
        return None
    # Most captures have no keys, and the library takes as long to import as all the rest.
    from appliance.intake.pcap.keys import KeyLog

    return KeyLog(*texts)


def _why_nothing(tally: Tally) -> str:
    if not tally.packets:
        return "no IP packet in it"
    seen = {"RTP": tally.rtp, "STUN": tally.stun, "DTLS": tally.dtls, "encrypted TCP connections": tally.tls}
    there = ", ".join(f"{count} {what}" for what, count in seen.items() if count)
    return f"no call in its {tally.packets} IP packets" + (f" ({there})" if there else "")
