"""``appliance listen``: receives HEP over UDP and TCP, prints one line a packet, writes the inner packets to a pcap."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.hep.listen import LINK_TYPE_RAW, listen
from appliance.hep.listener import HepListener
from appliance.supervisor import until_signalled
from appliance.wire.pcap import PcapWriter


async def listen_and_print(
    host: str, port: int, *, as_json: bool, pcap: Path | None, say: Callable[[str], Any], note: Callable[[str], Any]
) -> None:
    """Until a signal. ``note`` takes what is not a packet. :raises OSError: the port or the file can't be had."""
    until = asyncio.Event()
    with ExitStack() as stack:
        writer: PcapWriter | None = None
        if pcap is not None:
            writer = PcapWriter(stack.enter_context(pcap.open("wb")), link_type=LINK_TYPE_RAW)

        def started(listener: HepListener) -> None:
            note(f"listening for HEP on UDP and TCP {listener.host}:{listener.port}; Ctrl-C ends it")

        listening = asyncio.create_task(
            listen(
                say,
                host=host,
                port=port,
                as_json=as_json,
                write_packet=writer.write if writer is not None else None,
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
