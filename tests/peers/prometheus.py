"""A real Prometheus with our configuration, and every question that our dashboards and rules ask it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.dashboards import FILES, GRAFANA, annotations, dashboard, queries, variables
from tests.peers.leash import hold
from tests.programs import need


class Prometheus:
    """The HTTP API of one that runs."""

    def __init__(self, session: ClientSession, address: str) -> None:
        self._session = session
        self._base = f"http://{address}/api/v1/"

    async def get(self, path: str, **parameters: str) -> Any:
        async with self._session.get(self._base + path, params=parameters) as response:
            answer = json.loads(await response.text())
            assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
            return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return found

    async def until(self, expression: str, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Ask until the answer is as wanted."""
        async with asyncio.timeout(40):
            while True:
                found = await self.query(expression)
                if holds(found):
                    return found
                await asyncio.sleep(0.2)


@asynccontextmanager
async def prometheus(folder: Path, port: int) -> AsyncIterator[Prometheus]:
    """The configuration that we ship, on another port and in more of a hurry."""
    program = need("prometheus")
    text = (GRAFANA / "prometheus" / "prometheus.yml").read_text("utf-8")
    assert "127.0.0.1:8080" in text and "interval: 10s" in text
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("interval: 10s", "interval: 1s")
    text = text.replace("rules/*.yml", str(GRAFANA / "prometheus" / "rules" / "*.yml"))
    (folder / "prometheus.yml").write_text(text, "utf-8")
    process = await asyncio.create_subprocess_exec(
        program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage",
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    hold(process.pid)
    assert process.stderr is not None
    reader: asyncio.Task[None] | None = None
    try:
        address, ready = "", False
        async with asyncio.timeout(30):
            while not (address and ready):
                line = (await process.stderr.readline()).decode()
                assert line, "prometheus ended"
                if match := re.search(r'msg="Listening on" address=(\S+)', line):
                    address = match[1]
                ready = ready or "Server is ready" in line
        reader = asyncio.create_task(drain(process.stderr), name="prometheus log")
        async with ClientSession() as session:
            yield Prometheus(session, address)
    finally:
        process.terminate()
        await process.wait()
        if reader is not None:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader


async def drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass


def filled(expression: str, values: Mapping[str, str]) -> str:
    """An expression as Grafana sends it."""
    for name, value in values.items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression
    return expression


async def every_query(server: Prometheus, values: Mapping[str, str], silent: Collection[str] = ()) -> None:
    """Each panel's queries are answered, and but for ``silent`` (panel and reference) with data."""
    empty: list[str] = []
    asked = 0
    for path in FILES:
        for title, expression in queries(dashboard(path)):
            asked += 1
            found = await server.query(filled(expression, values))
            if not found and title not in silent:
                empty.append(f"{path.stem}: {title}: {expression}")
        for expression in annotations(dashboard(path)).values():
            await server.query(filled(expression, values))
    assert asked > 70
    assert empty == []


async def every_variable(server: Prometheus, values: Mapping[str, str], silent: Collection[str] = ()) -> None:
    """Each variable but those of ``silent`` has something to choose from."""
    for path in FILES:
        for name, variable in variables(dashboard(path)).items():
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
                assert match is not None
                selector = {"match[]": filled(match[1], values)}
                assert await server.get(f"label/{match[2]}/values", **selector) or name in silent, name


async def every_rule(server: Prometheus) -> None:
    """Each rule was evaluated without an error, and what is recorded has data."""
    async with asyncio.timeout(20):
        while True:
            rules = [rule for group in (await server.get("rules"))["groups"] for rule in group["rules"]]
            if all(rule["health"] != "unknown" for rule in rules):
                break
            await asyncio.sleep(0.2)
    assert len(rules) > 30
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    with_data = {each["metric"]["__name__"] for each in await server.query('{__name__=~".*:appliance_.*"}')}
    # Ratios want 20 calls first.
    assert {name for name in recorded if "_ratio1" not in name} <= with_data
