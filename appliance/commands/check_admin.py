"""``appliance check``: the servers whose Admin API the console asks."""

import asyncio
from collections.abc import Sequence

from appliance.commands.check_events import Finding
from appliance.console.servers import client_of
from appliance.console.settings import ServerAddress
from appliance.net.admin_client import AdminRefusedError


async def ask_admins(addresses: Sequence[ServerAddress]) -> list[Finding]:
    """Ask each, all at once, for its name and with its secret."""
    return list(await asyncio.gather(*map(_ask, addresses)))


async def _ask(address: ServerAddress) -> Finding:
    where = f"console.admin: {address.name}"
    try:
        client = client_of(address)
    except ValueError as problem:
        # An address that is none may hold a password.
        said = str(problem).replace(repr(address.url), "what came").replace(address.url or "\0", "what came")
        return Finding(False, f"console.{said}")
    try:
        info = await client.ask("info")
        # info needs no secret; this does.
        await client.ask("get_status")
    except AdminRefusedError as problem:
        return Finding(False, f"{where}: {address.url} refuses: {problem}")
    except ConnectionError as problem:
        return Finding(False, f"{where}: {address.url} can't be asked: {problem}")
    finally:
        await client.close()
    if info.get("janus") != "server_info":
        return Finding(False, f"{where}: {address.url} answers, but not as an Admin API")
    return Finding(True, f"{where}: {address.url} answers, and its name is {str(info.get('server-name', ''))[:200]!r}")
