"""``appliance check``: what is wrong with settings and peers, in words."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from appliance.commands.check import check_everything
from appliance.commands.check_events import CALL_TYPES, Finding, ask_janus, judge_events, judge_janus
from appliance.config import ConfigError, Settings, load
from appliance.core.queue import WORD_OF
from appliance.net.http_server import HttpServer
from tests.peers.appliance import appliance, free_settings


def settings_of(folder: Path, *further: str) -> Settings:
    return load(None, {}, [*free_settings(folder)[1::2], *further])


async def said(settings: Settings, *janus: str) -> tuple[int, str]:
    lines: list[str] = []
    problems = await check_everything(settings, say=lines.append, janus=janus)
    return problems, "\n".join(lines)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("transports.http.port=65536", "transports.http.port: 65536: wanted a port, 0 to 65535"),
        ("admin.http_port=-1", "admin.http_port: -1: wanted a port, 0 to 65535"),
        ("api.session_timeout_s=-5", "api.session_timeout_s: -5.0: wanted a number that is finite and not below 0"),
        ("media.ice_timeout=nan", "media.ice_timeout: nan: wanted a number that is finite"),
        ("intake.http.max_body_bytes=-1", "intake.http.max_body_bytes: -1: wanted a number"),
    ],
)
async def test_numbers_that_can_not_be_meant(tmp_path: Path, setting: str, message: str) -> None:
    settings = settings_of(tmp_path, setting)
    with pytest.raises(ConfigError) as refusal:
        settings.check()
    assert message in str(refusal.value)
    assert f"(--set {setting.partition('=')[0]})" in str(refusal.value)
    problems, text = await said(settings)
    assert (problems, text) == (1, f"PROBLEM  {refusal.value}")


@pytest.mark.parametrize(
    ("setting", "shown", "further"),
    [
        ("handlers.store.url=postgresql+psycopg://appliance@127.0.0.1:{port}/calls", "handlers.store.url", ()),
        ("handlers.rabbitmq.port={port}", "handlers.rabbitmq", ("handlers.rabbitmq.enabled=true",)),
        (
            "handlers.http.backend=http://127.0.0.1:{port}/janus",
            "handlers.http.backend",
            ("handlers.http.enabled=true",),
        ),
    ],
)
async def test_databases_brokers_and_backends_are_tried(
    tmp_path: Path, setting: str, shown: str, further: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        settings = settings_of(tmp_path, "handlers.store.enabled=true", setting.format(port=port), *further)
        assert f"ok       {shown}: 127.0.0.1:{port} answers" in (await said(settings))[1]
    problems, text = await said(settings)
    assert problems == 1
    assert f"PROBLEM  {shown}: 127.0.0.1:{port} can't be reached: " in text


async def test_every_capture_server_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as gone:
        good, bad = there.getsockname()[1], gone.getsockname()[1]
        gone.close()
        problems, text = await said(
            settings_of(
                tmp_path,
                "handlers.hep.enabled=true",
                f"handlers.hep.server=tcp://127.0.0.1:{good}",
                f'handlers.hep.also=["tcp://127.0.0.1:{bad}"]',
            )
        )
    assert f"ok       handlers.hep.server: tcp://127.0.0.1:{good} answers" in text
    assert f"PROBLEM  handlers.hep.also[0]: tcp://127.0.0.1:{bad} can't be reached: " in text
    assert problems == 1


async def test_files_of_secrets_are_read(tmp_path: Path) -> None:
    empty = tmp_path / "secret"
    empty.write_text("\n")
    problems, text = await said(
        settings_of(tmp_path, f"admin.secret_file={empty}", "server.link_token_file=/nonexistent/token")
    )
    assert f"PROBLEM  admin.secret_file: {empty}: is empty" in text
    assert "PROBLEM  server.link_token_file: /nonexistent/token: No such file or directory" in text
    assert problems == 2


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


async def test_a_folder_that_others_can_read_is_told(open_folder: Path) -> None:
    problems, text = await said(settings_of(open_folder))
    assert problems == 1
    assert f"PROBLEM  server.data_dir: {open_folder} is open to other users (mode 0755)" in text


async def test_ports_are_tried_while_the_appliance_runs_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]
        async with appliance(tmp_path) as running:
            port = running.web.rpartition(":")[2]
            problems, text = await said(settings_of(tmp_path, f"console.port={port}", f"transports.http.port={taken}"))
    assert "ok       the appliance is running" in text
    assert f"console.port: TCP 127.0.0.1:{port} is taken, as it should be while the appliance runs" in text
    assert "no Janus has sent events yet. In its janus.jcfg: events { broadcast = true }" in text
    assert "events of test: last event" in text
    assert problems == 0


METRICS = """\
# HELP appliance_events_total Events taken in.
appliance_events_total{server="gw",type="core"} 3
appliance_events_total{server="janus-1",type="sessions"} 3
appliance_events_total{server="janus-1",type="handles"} 3
appliance_server_last_event_timestamp_seconds{server="gw"} 100
appliance_server_last_event_timestamp_seconds{server="janus-1"} 990
appliance_server_last_event_timestamp_seconds{server="janus-2"} 100
appliance_intake_events_total{server="gw",intake="http",outcome="malformed"} 2
appliance_intake_events_total{server="gw",intake="http",outcome="refused"} 4
appliance_auth_failures_total{server="gw",api="intake"} 7
"""


def test_the_types_that_calls_need_are_named_as_in_the_metrics() -> None:
    assert set(CALL_TYPES) <= set(WORD_OF.values())


def test_what_the_collector_knows_of_events() -> None:
    findings = list(judge_events(METRICS, ours="gw", backend="http://127.0.0.1:8081", now=1000))
    assert findings == [
        Finding(False, "intake.http: 2 requests or events were no events: "
                "is it a Janus event handler that sends there?"),
        Finding(False, "intake.http: 4 requests or events were refused: not POST, too large, or too many at once"),
        Finding(
            False,
            "intake: 7 times with a wrong user, password or token: see backend_user and backend_pwd, and of wsevh the "
            "path, if intake.websocket.secret_path is set",
        ),
        Finding(True, "events of gw: last event 900 s ago"),
        Finding(True, "events of janus-1: last event 10 s ago"),
        Finding(
            True,
            "events of janus-1: none yet of type jsep, webrtc, media; if calls were made, the handler's type mask "
            'leaves them out: set events = "all"',
        ),
        Finding(False, "events of janus-2: last event 900 s ago"),
    ]  # fmt: skip


def test_a_broker_that_brings_nothing_is_told() -> None:
    metrics = "\n".join(
        [
            'appliance_intake_connected{server="gw",intake="rabbitmq"} 1',
            'appliance_intake_events_total{server="gw",intake="rabbitmq",outcome="ok"} 0',
            'appliance_intake_connected{server="gw",intake="mqtt"} 0',
            # Nobody has connected, which is the servers' part.
            'appliance_intake_connected{server="gw",intake="websocket"} 0',
        ]
    )
    mqtt, rabbitmq, _ = judge_events(metrics, ours="gw", backend="", now=1000)
    assert not mqtt.good and mqtt.text.startswith("intake.mqtt: not connected to its broker")
    assert not rabbitmq.good and "nothing came: queue has to be rabbitmqevh's route_key" in rabbitmq.text
    heard = metrics.replace('"ok"} 0', '"ok"} 3').replace('"mqtt"} 0', '"mqtt"} 1')
    (silent, _) = judge_events(heard, ours="gw", backend="", now=1000)
    assert silent.text.startswith("intake.mqtt: its broker is there, but nothing came: topics have to cover")


def test_a_mask_that_leaves_out_all_of_a_call_is_told() -> None:
    metrics = (
        'appliance_server_last_event_timestamp_seconds{server="j"} 990\n'
        'appliance_events_total{server="j",type="core"} 4\n'
    )
    _, finding = judge_events(metrics, ours="gw", backend="", now=1000)
    assert "none yet of type sessions, handles, jsep, webrtc, media" in finding.text


def test_a_collector_that_has_heard_of_no_janus_says_what_to_set() -> None:
    (only,) = judge_events("", ours="gw", backend="http://127.0.0.1:8081", now=1000)
    assert 'backend = "http://127.0.0.1:8081" (any path will do)' in only.text


@pytest.mark.parametrize(
    ("info", "good", "text"),
    [
        (
            {"janus": "server_info", "server-name": "j", "event_handlers": True,
             "events": {"janus.eventhandler.x": {}}},
            True,
            "j: events are enabled, handlers: janus.eventhandler.x",
        ),
        (
            {"janus": "server_info", "server-name": "j", "event_handlers": True, "events": {}},
            False,
            "j: events are enabled, but no handler is",
        ),
        (
            {"janus": "server_info", "server-name": "j", "event_handlers": False},
            False,
            "j: events are not enabled: set events { broadcast = true }",
        ),
        ({"janus": "error"}, False, "it answers, but not as a Janus API"),
        (None, False, "it answers, but not as a Janus API"),
    ],
)  # fmt: skip
def test_what_a_janus_says_of_itself(info: object, good: bool, text: str) -> None:
    (finding,) = judge_janus(info)
    assert finding.good is good
    assert finding.text.startswith(text)


@pytest.fixture
async def janus() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"janus": "server_info", "server-name": "j", "event_handlers": False})

    app = web.Application()
    app.router.add_get("/janus/info", answer)
    server = HttpServer(app, "127.0.0.1", 0, what="Janus")
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def test_a_janus_is_asked(janus: str) -> None:
    (finding,) = await ask_janus(f"{janus}/janus")
    assert finding.text.startswith(f"Janus at {janus}/janus: j: events are not enabled")
    (finding,) = await ask_janus(f"{janus}/elsewhere")
    assert "not as a Janus API: is the path right" in finding.text
    (finding,) = await ask_janus("http://127.0.0.1:1/janus")
    assert "can't be asked" in finding.text
