"""The Admin API of the two real processes, while a real call is up, beside what a real Janus said of one."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.demo.client import EchoCall
from tests.peers.appliance import appliance
from tests.programs import need

RECORDED = Path(__file__).parent / "data" / "janus-1.4" / "admin.api.jsonl"
SECRET = "only this one"
NOT_YET = {"twcc-ext-id"}
"""Of congestion feedback, which aiortc does not offer."""
OUR_OWN = {"nacks", "retransmissions", "keyframes"}
"""Counted for audio too, and not at all by Janus."""


def keys(tree: Any, path: str = "") -> set[str]:
    """Paths of everything in a tree, but for what names instances: extensions."""
    found: set[str] = set()
    for key, value in tree.items() if isinstance(tree, dict) else ():
        inner = f"{path}/{key}"
        found.add(inner)
        if key != "extensions":
            found |= keys(value, inner)
    return found


def recorded_tree() -> Any:
    for line in RECORDED.read_text().splitlines():
        exchange = json.loads(line)
        if exchange.get("request", {}).get("transaction") == "adm7":
            return exchange["response"]["info"]
    raise AssertionError("the recording has lost its handle_info")


class Admin:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def ask(self, janus: str, path: str = "", **rest: Any) -> dict[str, Any]:
        message = {"janus": janus, "transaction": "t", "admin_secret": SECRET} | rest
        async with self._http.post(self._url + path, json=message) as reply:
            answer: dict[str, Any] = await reply.json()
            return answer


@pytest.mark.interop
async def test_a_call_as_the_admin_api_sees_it(tmp_path: Path) -> None:
    options = [f'admin.secret="{SECRET}"']
    async with (
        appliance(tmp_path, options) as running,
        EchoCall(running.janus) as call,
        aiohttp.ClientSession() as http,
    ):
        admin = Admin(running.addresses["admin"], http)
        await call.place()
        path = f"/{call.session_id}/{call.handle_id}"
        assert (await admin.ask("list_sessions"))["sessions"] == [call.session_id]
        for kind, name in (("pcap", "a.pcap"), ("text2pcap", "a.txt")):
            assert (await admin.ask(f"start_{kind}", path, filename=name))["janus"] == "success"
            await call.wait_for_frames("video", call.frames_received["video"] + 15)
            info = (await admin.ask("handle_info", path))["info"]
            assert info[f"{kind}-file"] == str(tmp_path / "captures" / name)
            assert (await admin.ask(f"stop_{kind}", path))["janus"] == "success"
        check_tree(info)
        outside = await admin.ask("start_pcap", path, folder="/usr/share")
        assert outside["error"] == {"code": 490, "reason": "Error starting pcap dump"}
        await check_handlers(admin)
        await call.wait_for_data()
        assert (await admin.ask("hangup_webrtc", path))["janus"] == "success"
        explained = await running.call(call.session_id)
    assert explained["verdict"]["code"] == "ended_by_admin", explained["verdict"]
    check_pcap(str(tmp_path / "captures" / "a.pcap"), info["webrtc"]["media"]["1"]["ssrc"])
    lines = (tmp_path / "captures" / "a.txt").read_text().splitlines()
    assert {line[0] for line in lines} == {"I", "O"}


def check_tree(info: dict[str, Any]) -> None:
    """Every key that Janus has, and the live numbers behind them."""
    ours, theirs = keys(info), keys(recorded_tree())
    missing = {path for path in theirs - ours if path.rpartition("/")[2] not in NOT_YET}
    # A plugin does not learn what its client could receive.
    assert missing == {"/plugin_specific/peer-bitrate"}
    added = {path for path in ours - theirs if path.rpartition("/")[2] not in OUR_OWN}
    assert {path for path in added if "text2pcap" not in path and "msid" not in path} == set()
    flags = info["flags"]
    assert (flags["ready"], flags["negotiated"], flags["has-video"], flags["alert"]) == (True, True, True, False)
    webrtc = info["webrtc"]
    assert (webrtc["ice"]["state"], webrtc["dtls"]["dtls-state"]) == ("ready", "connected")
    assert info["created"] <= info["agent-created"] <= webrtc["ice"]["connected"] <= webrtc["dtls"]["connected"]
    assert webrtc["dtls"]["connected"] < info["current_time"]
    assert info["sdps"]["local"].startswith("v=0")
    video = webrtc["media"]["1"]["stats"]
    assert video["in"]["packets"] > 15
    assert video["out"]["packets"] > 15


async def check_handlers(admin: Admin) -> None:
    listed = (await admin.ask("info"))["events"]
    assert {"janus.eventhandler.diagnosis", "janus.eventhandler.store"} <= set(listed)
    handler = {"handler": "janus.eventhandler.watch"}

    async def query(request: str, **rest: Any) -> Any:
        answer = await admin.ask("query_eventhandler", **handler, request={"request": request, **rest})
        return answer["response"]

    before = (await query("info"))["info"]
    assert (before["running"], before["queue"]["dropped"], before["queue"]["failed"]) == (True, {}, 0)
    assert "media" in before["events"]
    assert await query("tweak", events="sessions,external") == {"result": 200}
    assert (await query("info"))["info"]["events"] == ["sessions", "external"]
    assert (await query("tweak", events="nonsense"))["error_code"] == 413
    assert (await query("bogus")) == {"error_code": 411, "error": "Unknown request 'bogus'"}
    assert (await admin.ask("query_eventhandler", handler="nope", request={}))["error"]["code"] == 460


def check_pcap(path: str, ssrcs: dict[str, int]) -> None:
    command = [need("tshark"), "-r", path, "-o", "rtp.heuristic_rtp:TRUE", "-T", "fields", "-e", "rtp.ssrc"]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    seen = {int(word, 16) for word in output.split() if word}
    assert {ssrcs["ssrc"], ssrcs["ssrc-peer"]} <= seen


async def test_the_collector_is_away(tmp_path: Path) -> None:
    async with appliance(tmp_path) as running, aiohttp.ClientSession() as http:
        admin = Admin(running.addresses["admin"], http)
        process = running.supervisor.collector.process
        assert process is not None
        process.kill()
        await process.wait()
        answers: list[dict[str, Any]] = []
        async with asyncio.timeout(10):
            while not answers or "error" not in answers[-1]:
                answers.append(await admin.ask("query_eventhandler", handler="watch", request={"request": "info"}))
        assert answers[-1]["error"]["reason"].startswith("The collector, where event handlers run: ")
