"""``appliance listen``: receives HEP over UDP and TCP, prints one line a packet, writes the inner packets to a pcap."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.hep.listen import listen
from appliance.hep.listener import HepListener
from appliance.supervisor import until_signalled
from appliance.wire.pcap import LinkType, Writer


async def listen_and_print(
    host: str, port: int, *, as_json: bool, pcap: Path | None, say: Callable[[str], Any], note: Callable[[str], Any]
) -> None:
    """Until a signal. ``note`` takes what is not a packet. :raises OSError: the port or the file can't be had."""
    until = asyncio.Event()
    with ExitStack() as stack:
        write_packet: Callable[[int, bytes], None] | None = None
        if pcap is not None:
            file, writer = stack.enter_context(pcap.open("wb", buffering=0)), Writer(link_type=LinkType.RAW)
            file.write(writer.file_header())

            def write_packet(timestamp_us: int, packet: bytes) -> None:
                # Unbuffered, so that the file is whole whenever somebody looks.
                file.write(writer.packet(timestamp_us * 1000, packet))

        def started(listener: HepListener) -> None:
            note(f"listening for HEP on UDP and TCP {listener.host}:{listener.port}; Ctrl-C ends it")

        listening = asyncio.create_task(
            listen(
                say,
                host=host,
                port=port,
                as_json=as_json,
                write_packet=write_packet,
                until=until,
                started=started,
            ),
            name="listen",
        )
        signalled = asyncio.create_task(until_signalled(), name="signal")
        await asyncio.wait({listening, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        until.set()
        tally = (await listening).tally
    decoded = ", ".join(f"{count} of type {kind}" for kind, count in sorted(tally.by_type.items())) or "none"
    note(f"decoded: {decoded}; malformed: {sum(tally.malformed.values())}")
