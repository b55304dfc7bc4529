"""Three browsers with the unmodified janus.js in one room, and janode, which manages rooms."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from tests.peers.appliance import appliance
from tests.peers.chromium import chromium
from tests.peers.npm import installed
from tests.programs import need

pytestmark = pytest.mark.interop

JANODE = """
import Janode from 'janode';
import VideoRoom from 'janode/plugins/videoroom';
const connection = await Janode.connect({ is_admin: false, address: { url: process.argv[2] } });
const session = await connection.create();
const handle = await session.attach(VideoRoom);
const said = [];
const room = 77;
said.push(await handle.create({ room, description: 'made by janode', max_publishers: 4, secret: 's', pin: 'p' }));
said.push(await handle.exists({ room }));
said.push(await handle.list());
said.push(await handle.allow({ room, secret: 's', action: 'add', list: ['a', 'b'] }));
said.push(await handle.allow({ room, secret: 's', action: 'remove', list: ['b'] }));
const joined = await handle.joinPublisher({ room, pin: 'p', token: 'a', display: 'jan' });
said.push({ display: joined.display, publishers: joined.publishers });
said.push(await handle.listParticipants({ room, secret: 's' }));
said.push(await handle.kick({ room, feed: joined.feed, secret: 's' }));
said.push(await handle.destroy({ room, secret: 's' }));
try { await handle.destroy({ room, secret: 's' }); } catch (error) { said.push(error.message); }
console.log('said ' + JSON.stringify(said));
await connection.close();
process.exit(0);
"""

PAGES = Path(__file__).parent.parent / "peers" / "web"


async def serve(site: Path) -> tuple[web.AppRunner, int]:
    modules = installed("janus-gateway@1.4.2", "webrtc-adapter@9.0.6")
    shutil.copytree(PAGES, site)
    shutil.copy(modules / "janus-gateway/npm/dist/janus.es.js", site)
    shutil.copy(modules / "webrtc-adapter/out/adapter.js", site)
    application = web.Application()
    application.router.add_static("/", site)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


async def until(page: Page, condition: str) -> None:
    """Ask again until it holds; what went wrong is shown instead of a bare time-out."""
    try:
        async with asyncio.timeout(25):
            poll = f"while (!(await ({condition}))) await new Promise(again => setTimeout(again, 200));"
            await page.evaluate(f"(async () => {{ {poll} }})()")
    except TimeoutError:
        pytest.fail(f"{condition}: {await page.evaluate('frames()')}, {await page.evaluate('seen')}")


async def test_three_people_see_each_other_one_switches_and_one_leaves(tmp_path: Path) -> None:
    runner, port = await serve(tmp_path / "site")
    try:
        async with appliance(tmp_path / "data") as running, chromium() as browser:
            pages: list[Page] = []
            ids: list[int] = []
            for name, width in (("ann", 320), ("bob", 160), ("eve", 240)):
                page = await browser.new_page()
                await page.goto(f"http://127.0.0.1:{port}/room.html")
                await page.wait_for_function("window.ready === true")
                ids.append(
                    await page.evaluate(
                        "([url, name, width]) => enter(url, name, width)", [running.addresses["websocket"], name, width]
                    )
                )
                pages.append(page)
            for page in pages:
                await until(page, "watching(2)")
            eve = pages[2]
            different = "widths().then(all => new Set(Object.values(all)).size === 2)"
            await until(eve, different)
            await eve.evaluate("([ann, bob]) => switchTo(ann, bob)", ids[:2])
            of_bob = f"one.type === 'video' && one.feed_id === {ids[1]}"
            await until(eve, f"seen.streams.filter(one => {of_bob}).length === 2")
            # Twice Bob, from a key frame on, and no new description.
            await until(eve, different.replace("=== 2", "=== 1"))
            await pages[0].evaluate("leave()")
            for page in pages[1:]:
                await until(page, f"seen.gone.includes({ids[0]})")
                before = max((await page.evaluate("frames()")).values())
                await until(page, f"frames().then(now => Object.values(now).some(one => one > {before + 10}))")
                assert await page.evaluate("seen.problems") == []
    finally:
        await runner.cleanup()


async def test_janode_manages_rooms(tmp_path: Path) -> None:
    modules = installed("janode@1.8.0")
    # Compiled code that only its transport over Unix sockets needs, and that is not built here.
    (modules / "unix-dgram" / "package.json").write_text('{"name": "unix-dgram", "main": "absent.js"}')
    (modules / "unix-dgram" / "absent.js").write_text("exports.createSocket = () => { throw new Error(); };")
    script = modules.parent / "rooms.mjs"
    script.write_text(JANODE)
    async with appliance(tmp_path / "data") as running:
        node = await asyncio.create_subprocess_exec(
            need("node"), str(script), running.addresses["websocket"],
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, problems = await asyncio.wait_for(node.communicate(), 30)
    assert node.returncode == 0, problems.decode()[-2000:]
    (said,) = [line for line in out.decode().splitlines() if line.startswith("said ")]
    created, exists, listed, allowed, fewer, joined, people, kicked, destroyed, refused = json.loads(said[5:])
    assert (created["room"], exists["exists"], destroyed["room"]) == (77, True, 77)
    assert [room["room"] for room in listed["list"]] == [1234, 77]
    assert (allowed["list"], fewer["list"]) == (["a", "b"], ["a"])
    assert joined == {"display": "jan", "publishers": []}
    assert [one["display"] for one in people["participants"]] == ["jan"]
    assert kicked["room"] == 77
    assert "426 No such room (77)" in refused
