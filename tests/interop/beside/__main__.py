"""Run inside a namespace: the same requests to Debian's Janus and to ours; prints what each said, step by step."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import aioice

from tests.interop.beside.call_talks import call
from tests.interop.beside.core_talks import admin_api, core_errors, over_http
from tests.interop.beside.guarded_talks import ADMIN_KEY, SECRET, claims, signed_tokens, string_ids, tokens
from tests.interop.beside.room_talks import codec_lists, guests, participants, rooms
from tests.interop.beside.side import Side
from tests.peers.appliance import appliance
from tests.peers.janus import Everything, janus
from tests.peers.namespace import ADDRESS

ADMIN = "janusoverlord"
DEMO = 'room-1234: { description = "Demo Room" publishers = 6 audiolevel_event = true }'
Talk = Callable[[Side], Awaitable[None]]
SERVERS: list[tuple[Everything, list[str], list[Talk]]] = [
    (
        Everything(rooms=DEMO),
        ["plugins.videoroom.rtp_forward_to=[\"127.0.0.0/8\"]"],
        [core_errors, over_http, admin_api, rooms, codec_lists, guests, participants, call],
    ),
    (
        Everything(
            general=f'api_secret = "{SECRET}" token_auth = true opaqueid_in_api = true reclaim_session_timeout = 20',
            videoroom=f'string_ids = true admin_key = "{ADMIN_KEY}"',
        ),
        [
            f"api.api_secret={SECRET}", "api.token_auth=true", "api.opaqueid_in_api=true",
            "api.reclaim_session_timeout_s=20", "plugins.videoroom.string_ids=true",
            f"plugins.videoroom.admin_key={ADMIN_KEY}", "plugins.videoroom.rooms=[]",
        ],
        [tokens, string_ids, claims],
    ),
    (
        Everything(general=f'token_auth = true token_auth_secret = "{SECRET}"'),
        ["api.token_auth=true", f"api.token_auth_secret={SECRET}"],
        [signed_tokens],
    ),
]  # fmt: skip
"""Settings of Janus, the same of ours, and what is said to the two."""


@asynccontextmanager
async def both(folder: Path, everything: Everything, options: list[str]) -> AsyncIterator[list[Side]]:
    async with AsyncExitStack() as stack:
        apart = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=20)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=apart, timeout=timeout))
        theirs = await stack.enter_async_context(janus(folder / "janus", everything=everything))
        ours = await stack.enter_async_context(appliance(folder / "data", [f"admin.secret={ADMIN}", *options]))
        addresses = ours.addresses
        sides = [
            Side(http, theirs.url, theirs.websocket, theirs.admin, ADMIN),
            Side(http, addresses["http"], addresses["websocket"], addresses["admin"], ADMIN),
        ]
        for side in sides:
            await stack.enter_async_context(side)
        await linked(sides[1])
        yield sides


async def linked(ours: Side) -> None:
    """Until our gateway has found its collector, which answers for event handlers."""
    async with asyncio.timeout(15):
        while True:
            answer = await ours.admin("linked", "query_eventhandler", handler="nobody", request={})
            if answer["error"]["code"] == 460:
                return
            await asyncio.sleep(0.05)


async def converse(folder: Path, everything: Everything, options: list[str], talks: list[Talk]) -> dict[str, Any]:
    """By conversation, what Janus and what ours said at each step."""
    said = {}
    async with both(folder, everything, options) as sides:
        for talk in talks:
            for side in sides:
                side.steps = {}
            await asyncio.gather(*(talk(side) for side in sides))
            said[talk.__name__] = [side.steps for side in sides]
    return said


async def main(folder: Path) -> None:
    told = await asyncio.gather(*(converse(folder / str(number), *each) for number, each in enumerate(SERVERS)))
    print(json.dumps({name: steps for said in told for name, steps in said.items()}))


aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [ADDRESS]
asyncio.run(main(Path(sys.argv[1])))
