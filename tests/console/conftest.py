from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.console.settings import Options
from tests.console.recorded import MemoryArchive, recorded
from tests.console.serve import CALLS, application

OPTIONS = Options(
    allowed_hosts=("console.example",), homer_url="https://homer.example/call?callid={correlation_id}",
    janus_http="http://{host}:18088/janus",
)  # fmt: skip


@pytest.fixture
def archive() -> MemoryArchive:
    """Every recorded call, at its own time."""
    filled = MemoryArchive()
    for name, _ in CALLS:
        filled.add(recorded(name))
    return filled


@pytest.fixture
async def client(archive: MemoryArchive) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]  # of any application
    server = TestServer(application(archive, OPTIONS, live_interval_s=0.02, max_watchers=2))
    async with TestClient(server) as made:
        yield made
