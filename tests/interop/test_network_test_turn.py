"""The network test of ``/demo`` in Chromium where a TURN server is configured: a coturn that shares its secret."""

from pathlib import Path

import pytest

from appliance.console.settings import Options
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.console.test_browser import served
from tests.console.test_network_test import outcome
from tests.peers.chromium import chromium
from tests.peers.coturn import coturn
from tests.peers.janus import free_port

pytestmark = pytest.mark.interop


async def test_the_page_gets_an_address_and_says_over_what(tmp_path: Path) -> None:
    (tmp_path / "right").write_text("north wind\n")
    (tmp_path / "wrong").write_text("south wind\n")
    with coturn(tmp_path / "coturn", "--use-auth-secret", "--static-auth-secret=north wind") as server:
        udp = f"turn:{server.address}"
        tcp = f"{udp}?transport=tcp"
        async with chromium() as browser:
            for url, secret, said in (
                (udp, "right", f"{udp} gives the address 127.0.0.1 over udp"),
                (tcp, "right", f"{tcp} gives the address 127.0.0.1 over tcp"),
                (tcp, "wrong", f"{tcp} gave no address: it can't be reached, or does not let you in."),
            ):
                options = Options(
                    # A gateway that is not there: the server is tried all the same, and nothing else takes time.
                    janus_http=f"http://127.0.0.1:{free_port()}/janus",
                    turn_urls=(url,),
                    turn_secret_file=str(tmp_path / secret),
                )
                page = await browser.new_page()
                async with served(application(MemoryArchive(), options)) as console:
                    rows = await outcome(page, console)
                assert rows["TURN"].lower() == said.lower()
                await page.close()
