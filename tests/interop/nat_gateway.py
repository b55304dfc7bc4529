"""An engine in a network of its own: ``python -m tests.interop.nat_gateway SETTINGS``, offers in, facts out."""

import asyncio
import json
import sys

from msgspec import convert, structs

from appliance.core.events import Body, Connection, LocalCandidate, SelectedPair
from appliance.media.config import MediaConfig
from tests.media.harness import Handle, engine


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def fact(body: Body) -> None:
    if isinstance(body, SelectedPair):
        say(pair=body.pair)
    elif isinstance(body, LocalCandidate):
        say(candidate=body.candidate)
    elif isinstance(body, Connection):
        say(connection=body.connection, reason=body.reason)


async def main(settings: str) -> None:
    server = await engine(**structs.asdict(convert(json.loads(settings), MediaConfig)))
    say(ready=True)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            handle = Handle(server)
            handle.on_fact = fact
            say(answer=handle.answer(json.loads(line)["offer"]))
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
