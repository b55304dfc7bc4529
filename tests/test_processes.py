"""The two real processes: started, called through, killed, ended."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from appliance.demo.client import EchoCall
from appliance.supervisor import READY_FD_VARIABLE, Ready, announce
from tests.peers.appliance import appliance, free_settings


async def outcome(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of an ``appliance`` command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_a_call_is_explained(tmp_path: Path) -> None:
    async with appliance(tmp_path) as running, EchoCall(running.janus) as call:
        await call.place()
        await call.wait_for_data()
        await call.hang_up()
        explained = await running.call(call.session_id)
    assert call.data_received == ["Janus EchoTest here! You wrote: hello from the demo"]
    assert explained["verdict"]["code"] == "ended_by_app"
    outcomes = {phase["name"]: phase["outcome"] for phase in explained["phases"]}
    assert (outcomes["ice"], outcomes["dtls"]) == ("ok", "ok")
    assert "hangup" in call.notified


async def test_a_call_goes_on_while_the_collector_is_gone(tmp_path: Path) -> None:
    async with appliance(tmp_path, ["console.port=0"]) as running, EchoCall(running.janus) as call:
        await call.place()
        killed = running.supervisor.collector.process
        assert killed is not None
        os.kill(killed.pid, signal.SIGKILL)
        await killed.wait()
        await call.wait_for_frames("video", 30)
        async with asyncio.timeout(20):
            await running.restarted.wait()
        await call.hang_up()
    assert running.supervisor.gateway.restarts == 0


async def test_the_end_of_the_gateway_is_told_to_its_clients_and_to_the_collector(tmp_path: Path) -> None:
    async with appliance(tmp_path) as running, EchoCall(running.janus) as call:
        await call.place()
        await running.supervisor.gateway.stop()
        # The supervisor starts it again; the call of the old one is over and explained.
        explained = await running.call(call.session_id)
        assert explained["verdict"]["final"] is True


async def test_the_sockets_and_files_are_the_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with appliance(data):
        assert data.stat().st_mode & 0o077 == 0
        for path in data.rglob("*"):
            if path.is_socket():
                assert path.stat().st_mode & 0o177 == 0, path


async def test_a_page_of_another_name_gets_nothing(tmp_path: Path) -> None:
    async with appliance(tmp_path) as running, aiohttp.ClientSession() as http:
        async with http.get(running.web + "/api/calls", headers={"Host": "evil.example"}) as reply:
            assert reply.status == 403
        async with http.get(running.web + "/healthz") as reply:
            assert (await reply.json())["status"] == "ok"


async def test_a_port_that_is_taken_is_said_in_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = [*free_settings(tmp_path), "--set", f"console.port={port}"]
        code, errors = await outcome(*options, "run")
    assert code == 1
    assert f"Error: console can't listen on 127.0.0.1:{port}: Address already in use\n" in errors
    assert errors.count("Error:") == 1, errors


async def test_a_second_appliance_is_told_that_the_folder_is_in_use(tmp_path: Path) -> None:
    async with appliance(tmp_path) as running:
        gateway = running.supervisor.gateway.process
        assert gateway is not None
        code, errors = await outcome(*free_settings(tmp_path), "gateway")
        assert code == 1
        assert f"{tmp_path} is in use by another gateway (process {gateway.pid})" in errors
        # The first one has its link still.
        assert await running.get("/healthz")


async def test_a_sign_to_end_while_it_starts_is_obeyed_without_a_word(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", *free_settings(tmp_path), "run",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    while len(children_of(process.pid)) < 2:  # noqa: ASYNC110  # the processes are the system's
        await asyncio.sleep(0)
    process.terminate()
    said, errors = await process.communicate()
    assert (process.returncode, said, errors) == (0, b"", b"")


@pytest.mark.parametrize("told", [False, True])
def test_a_supervisor_that_is_gone_is_no_error_of_its_child(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    reading, writing = os.pipe()
    if not told:
        os.close(reading)
    monkeypatch.setenv(READY_FD_VARIABLE, str(writing))
    announce(Ready(role="gateway", addresses={"http": "x"}))
    if told:
        assert os.read(reading, 100) == b'{"role":"gateway","addresses":{"http":"x"}}'
        os.close(reading)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "consol.port=1", "run"], "consol: no such section; did you mean 'console'?"),
        (["--set", "transports.http.prot=1", "gateway"], "transports.http.prot: no such setting (value 1)"),
        (["--set", "handlers.hep.enabled=true", "--set", "handlers.hep.server=homer", "collect"], "handlers.hep: "),
        (["--set", "console.host=0.0.0.0", "collect"], "console: host is '0.0.0.0', which others can reach"),
        (["--set", "server.log_level=loud", "show-config"], "server.log_level: 'loud': wanted debug, info"),
        (["--config", "/nonexistent.toml", "run"], "/nonexistent.toml: No such file or directory"),
    ],
)
async def test_a_wrong_setting_is_said_in_words(tmp_path: Path, arguments: list[str], message: str) -> None:
    code, errors = await outcome(*free_settings(tmp_path), *arguments)
    assert code == 1
    assert message in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("carrier-pigeon", "server.link: 'carrier-pigeon'"),
        ("tcp://0.0.0.0:9000", "others can reach it"),
    ],
)
async def test_a_link_that_can_not_be_is_said_in_words(tmp_path: Path, link: str, message: str) -> None:
    code, errors = await outcome(*free_settings(tmp_path), "--set", f"server.link={link}", "collect")
    assert code == 1
    assert message in errors
    assert "Traceback" not in errors


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", *free_settings(tmp_path), "run",
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readuntil(b"Ctrl-C")
    children = children_of(process.pid)
    assert len(children) == 2
    process.kill()
    await process.wait()
    async with asyncio.timeout(15):
        # Both hold our end of the pipe: it closes when the last of them has ended.
        await process.stdout.read()
        # The system closes a process's files a moment before it counts as ended.
        while any(is_running(child) for child in children):  # noqa: ASYNC110  # the processes are the system's
            await asyncio.sleep(0)


async def test_the_goodbye_is_the_last_event(tmp_path: Path) -> None:
    told: list[str] = []
    async with (
        appliance(tmp_path) as running,
        aiohttp.ClientSession() as http,
        http.get(f"{running.web}/events?types=core,transports,sessions") as watched,
    ):
        socket = await http.ws_connect(running.addresses["websocket"], protocols=("janus-protocol",))
        await socket.send_json({"janus": "create", "transaction": "t"})
        assert (await socket.receive_json())["janus"] == "success"
        ending = asyncio.create_task(running.supervisor.gateway.stop())
        async with asyncio.timeout(20):
            async for line in watched.content:
                body = json.loads(line)["event"] if line.strip() else {}
                told.append(body.get("name") or body.get("data", {}).get("event") or body.get("status") or "")
                if "shutdown" in told:
                    break
        await socket.close()
        await ending
    ends = [word for word in told if word in {"destroyed", "disconnected", "shutdown"}]
    assert ends == ["destroyed", "disconnected", "shutdown"]
