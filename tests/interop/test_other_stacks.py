"""WebRTC stacks beside the browsers' and aiortc: each has its own SDP, ICE, DTLS, SRTP and SCTP."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.interop.test_chromium import assert_explained_as_healthy
from tests.peers.appliance import appliance
from tests.peers.npm import installed
from tests.programs import need

pytestmark = pytest.mark.interop

STACKS = Path(__file__).parent.parent / "peers" / "stacks"
PACKAGES = ("werift@0.24.4", "@roamhq/wrtc@0.10.0", "node-datachannel@0.33.4", "ws@8.23.0")


@pytest.mark.parametrize("stack", ["werift", "libwebrtc", "libdatachannel"])
async def test_audio_video_and_data_are_echoed(tmp_path: Path, stack: str) -> None:
    site = installed(*PACKAGES).parent
    for script in STACKS.glob("*.mjs"):
        shutil.copy(script, site)
    async with appliance(tmp_path / "data") as running:
        node = await asyncio.create_subprocess_exec(
            need("node"), str(site / f"{stack}.mjs"), running.addresses["websocket"],
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, problems = await asyncio.wait_for(node.communicate(), 30)
        finally:
            if node.returncode is None:
                node.kill()
        assert node.returncode == 0, problems.decode()[-2000:]
        (came,) = [line for line in out.decode().splitlines() if line.startswith("came ")]
        assert_explained_as_healthy(await running.call(json.loads(came[5:])["session_id"]))
