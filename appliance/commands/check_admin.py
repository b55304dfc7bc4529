"""``appliance check``: the servers whose Admin API the console asks, and ``[intake.admin]``."""

import asyncio
from collections.abc import Collection, Sequence

from appliance.commands.check_events import Finding
from appliance.console.servers import client_of
from appliance.console.settings import ServerAddress
from appliance.net.admin_client import AdminRefusedError


async def ask_admins(addresses: Sequence[ServerAddress], *, polled: Collection[str] = ()) -> list[Finding]:
    """Ask each, all at once, for its name and with its secret. ``polled``: those that ``[intake.admin]`` asks."""
    found = list(await asyncio.gather(*(_ask(each, is_polled=each.name in polled) for each in addresses)))
    known = {address.name for address in addresses}
    found += [Finding(False, f"intake.admin: {name}: console.admin has no such server") for name in set(polled) - known]
    return found


async def _ask(address: ServerAddress, *, is_polled: bool) -> Finding:
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
    name = str(info.get("server-name", ""))[:200]
    said = f"{where}: {address.url} answers, and its name is {name!r}"
    if is_polled and name != address.name:
        return Finding(
            False, f"{said}: intake.admin compares it with nothing, because no event has the name it has here"
        )
    if is_polled and info.get("event_handlers") is False:
        return Finding(False, f"{said}, but it sends no events: none of its event handlers is enabled")
    return Finding(True, said)
