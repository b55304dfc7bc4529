"""What a gateway asks the collector over the link."""

from typing import Any

import pytest

from appliance.net.link import Hello, Request, Response, Welcome
from tests.intake.links import RawPeer, collector, gateway, socket_address, until


def answering(verb: str, args: dict[str, Any]) -> dict[str, Any]:
    if verb != "list_eventhandlers":
        raise LookupError(f"no such request {verb!r}")
    return {"handlers": ["hep"], "args": args}


async def test_only_who_has_said_hello_is_answered() -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake:
            intake.on_request = answering
            peer = await RawPeer.dial(address)
            peer.send(Request(id=1, verb="list_eventhandlers", args={}))
            assert await peer.receive() == Response(id=1, ok=False, error="the first frame was no hello")
            peer.send(Hello(v=1, boot="one", server="gw"))
            assert isinstance(await peer.receive(), Welcome)
            peer.send(Request(id=2, verb="list_eventhandlers", args={"a": 1}))
            answer = await peer.receive()
            assert answer == Response(id=2, ok=True, result={"handlers": ["hep"], "args": {"a": 1}})
            await peer.close()


async def test_a_gateway_asks() -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake, gateway(address) as link:
            with pytest.raises(ConnectionError, match="not connected"):
                await link.ask("list_eventhandlers", {})
            await until(lambda: link.connected)
            with pytest.raises(ConnectionError, match="not ready for requests"):
                await link.ask("list_eventhandlers", {})
            intake.on_request = answering
            assert (await link.ask("list_eventhandlers", {}))["handlers"] == ["hep"]
            with pytest.raises(ConnectionError, match="no such request 'x'"):
                await link.ask("x", {})
