"""The routes over a real socket, with recorded calls behind them."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.console.api import Console, _explanation
from appliance.console.settings import Options
from appliance.core.events import VERDICT_SCHEMA, Event, External, event
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive, another, recorded
from tests.console.serve import CALLS

Client = TestClient[web.Request, web.Application]


async def get(client: Client, path: str, status: int = 200, **headers: str) -> Any:
    reply = await client.get(path, headers=headers)
    body = await reply.text()
    assert reply.status == status, body[:300]
    return json.loads(body)


def only(archive: MemoryArchive, opaque_id: str) -> str:
    """Correlation id of the call with that opaque id."""
    [found] = [call.correlation_id for call in archive.summaries.values() if call.opaque_id == opaque_id]
    return found


# --- list --------------------------------------------------------------------------------------------------------


async def test_the_list_has_every_call_newest_first_with_its_verdict(client: Client, archive: MemoryArchive) -> None:
    page = await get(client, "/api/calls")
    started = [call["started_us"] for call in page["calls"]]
    assert started == sorted(started, reverse=True)
    assert len(started) == len(archive.summaries) == 6
    verdicts = {call["opaque_id"]: call["verdict"]["code"] for call in page["calls"]}
    assert verdicts["opq-echo_http"] == "ended_by_app"
    assert verdicts["opaque-dtls_badfp"] == "fingerprint_mismatch"
    assert page["before"] is None


async def test_older_calls_are_asked_for_by_the_time_that_the_page_tells(client: Client) -> None:
    first = await get(client, "/api/calls?limit=4")
    rest = await get(client, f"/api/calls?limit=4&before={first['before']}")
    ids = [call["correlation_id"] for call in [*first["calls"], *rest["calls"]]]
    assert len(set(ids)) == 6
    assert rest["before"] is None


async def test_a_search_finds_by_any_name_of_the_call(client: Client) -> None:
    for text in ("opq-loss", "8747535493727411", "fingerprint_mismatch"):
        assert len((await get(client, f"/api/calls?search={text}"))["calls"]) == 1, text
    assert (await get(client, "/api/calls?search=somebody"))["calls"] == []


async def test_live_calls_and_ended_ones_are_told_apart(client: Client, archive: MemoryArchive) -> None:
    archive.add(another(item, 1) for item in recorded("chrome_echo_http")[:60])
    live = (await get(client, "/api/calls?live=true"))["calls"]
    assert len(live) == 1 and "ended_us" not in live[0]
    assert len((await get(client, "/api/calls?live=false"))["calls"]) == 6


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit: '0' came, wanted an integer from 1 to 500"),
        ("limit=-1", "limit: '-1'"),
        ("limit=1e3", "limit: '1e3'"),
        ("limit=%D9%A3", "limit: "),
        ("before=99999999999999999999999", "before: "),
        ("live=maybe", "live: 'maybe' came, wanted true or false"),
        ("search=" + "x" * 201, "search: 201 characters came, wanted at most 200"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_was_wanted(client: Client, query: str, named: str) -> None:
    error = (await get(client, f"/api/calls?{query}", 400))["error"]
    assert error["code"] == "bad_parameter"
    assert named in error["message"]


# --- one call ----------------------------------------------------------------------------------------------------


async def test_a_call_is_explained(client: Client, archive: MemoryArchive) -> None:
    call = await get(client, f"/api/calls/{only(archive, 'opq-loss_ws')}")
    assert call["verdict"]["code"] == "downlink_loss" or call["verdict"]["code"] == "uplink_loss"
    assert [phase["name"] for phase in call["phases"]] == [
        "signalling", "gathering", "ice", "dtls", "first_media", "media", "end",
    ]  # fmt: skip
    tracks = {track["mid"]: track for track in call["tracks"]}
    assert tracks["1"]["codec"] == "vp8"
    # 31 of the client's video packets were lost in this recording, nearly all within six seconds.
    assert max(share or 0 for share in tracks["1"]["series"]["loss_in"]) > 0.1
    assert [description["type"] for description in call["descriptions"]] == ["offer", "answer"]
    assert call["descriptions"][0]["sdp"].startswith("v=0")
    assert call["call"]["opaque_id"] == "opq-loss_ws"
    kept = {item.id for item in archive.kept[only(archive, "opq-loss_ws")]}
    assert {item["id"] for item in call["evidence"]} <= kept
    assert all(item["text"] for item in call["evidence"])


async def test_a_call_that_has_not_changed_is_not_sent_again(client: Client, archive: MemoryArchive) -> None:
    path = f"/api/calls/{only(archive, 'opq-echo_http')}"
    reply = await client.get(path)
    tag = reply.headers["ETag"]
    assert (await client.get(path, headers={"If-None-Match": tag})).status == 304
    last = archive.kept[only(archive, "opq-echo_http")][-2]
    archive.add([event(External(schema=VERDICT_SCHEMA, data={}), emitter=last.emitter, timestamp=last.timestamp + 1,
                       session_id=last.session_id, handle_id=last.handle_id)])  # fmt: skip
    changed = await client.get(path, headers={"If-None-Match": tag})
    assert (changed.status == 304) == (changed.headers["ETag"] == tag)


async def test_a_call_that_nobody_knows_is_said_to_be_unknown(client: Client) -> None:
    for path in ("1-2-3@nowhere", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "..%2F..%2Fetc%2Fpasswd", "%00"):
        for part in ("", "/events", "/events.jsonl"):
            assert (await get(client, f"/api/calls/{path}{part}", 404))["error"]["code"] in {
                "unknown_call",
                "not_found",
            }
    await get(client, f"/api/calls/{'9' * 300}", 400)


async def test_events_come_in_pages_in_words_and_by_type(client: Client, archive: MemoryArchive) -> None:
    path = f"/api/calls/{only(archive, 'opq-loss_ws')}/events"
    whole = await get(client, f"{path}?limit=2000")
    kept = archive.kept[only(archive, "opq-loss_ws")]
    assert [item["event"]["id"] for item in whole["events"]] == [item.id for item in kept]
    assert all(item["text"] for item in whole["events"])
    assert sum(whole["counts"].values()) == whole["total"] == len(kept)
    second = await get(client, f"{path}?limit=10&offset=10")
    assert second["events"] == whole["events"][10:20]
    ice = await get(client, f"{path}?types=jsep,webrtc")
    assert {item["type"] for item in ice["events"]} == {"jsep", "webrtc"}
    assert ice["counts"] == whole["counts"]
    wanted = kept[57].id
    around = await get(client, f"{path}?limit=20&around={wanted}")
    assert around["offset"] == 40
    assert wanted in [item["event"]["id"] for item in around["events"]]
    assert "unknown event type 'hats'" in (await get(client, f"{path}?types=hats", 400))["error"]["message"]
    await get(client, f"{path}?around=999999", 404)


async def test_events_are_downloaded_one_a_line(client: Client, archive: MemoryArchive) -> None:
    reply = await client.get(f"/api/calls/{only(archive, 'opq-echo_http')}/events.jsonl")
    assert reply.content_type == "application/x-ndjson"
    assert reply.headers["Content-Disposition"].endswith('@janus-ref.jsonl"'.replace("@", "_"))
    lines = (await reply.text()).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [i.id for i in archive.kept[only(archive, "opq-echo_http")]]


async def test_statistics_are_downloaded_by_the_names_of_the_w3c(client: Client, archive: MemoryArchive) -> None:
    reply = await client.get(f"/api/calls/{only(archive, 'opq-echo_http')}/webrtc-stats.jsonl")
    assert reply.headers["Content-Disposition"].endswith('.webrtc-stats.jsonl"')
    found = [json.loads(line) for line in (await reply.text()).splitlines()]
    assert {"inbound-rtp", "outbound-rtp", "remote-inbound-rtp", "codec"} <= {one["type"] for one in found}
    assert (await client.get("/api/calls/1-2-3@nowhere/webrtc-stats.jsonl")).status == 404


async def test_the_hep_packets_of_a_call(client: Client, archive: MemoryArchive) -> None:
    sent = await get(client, f"/api/calls/{only(archive, 'opaque-ice_wrongcand')}/hep")
    assert sent["enabled"] and {packet["payload_type"] for packet in sent["packets"]} == {1, 5, 100}
    assert await get(client, "/api/calls/1-2-3@nowhere/hep") == {"enabled": True, "packets": []}


async def test_the_pages_are_told_where_the_gateway_and_the_other_tools_are(client: Client) -> None:
    config = await get(client, "/api/config", Host="[::1]:8080")
    assert config["janus_http"] == "http://[::1]:18088/janus"
    assert config["janus_websocket"] == "ws://[::1]:8188/"
    assert config["links"] == {"homer": "https://homer.example/call?callid={correlation_id}"}


def test_a_link_that_is_no_web_address_is_refused() -> None:
    with pytest.raises(ValueError, match=r"console\.homer_url: .javascript:.*wanted an http or https address"):
        Console(None, None, Options(homer_url="javascript:alert(1)"), clock=FakeClock())


async def test_without_a_store_the_pages_come_and_their_data_says_why_there_is_none() -> None:
    app = web.Application()
    app.add_routes(Console(None, None).routes())
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/")).status == 200
        for path in ("/api/calls", "/api/calls/1-2-3@gw", "/api/live"):
            error = (await get(client, path, 503))["error"]
            assert error["code"] == "no_store" and "handlers.store.enabled" in error["message"]
        assert (await get(client, "/api/calls/1-2-3@gw/hep"))["enabled"] is False


async def test_a_failing_archive_is_an_error_in_words_and_the_server_lives() -> None:
    class Broken(MemoryArchive):
        async def calls(self, **_: Any) -> Any:
            raise RuntimeError("disk on fire, password=hunter2")

    app = web.Application()
    app.add_routes(Console(Broken(), None).routes())
    async with TestClient(TestServer(app)) as client:
        error = (await get(client, "/api/calls", 500))["error"]
        assert error["code"] == "internal" and "hunter2" not in error["message"]
        await get(client, "/api/config")


# --- safety ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/demo", "/static/main.js", "/api/calls", "/api/config", "/api/live"])
async def test_a_name_that_is_not_ours_gets_nothing(client: Client, path: str) -> None:
    error = (await get(client, path, 403, Host="evil.example:8080"))["error"]
    assert error["code"] == "unknown_host" and "console.allowed_hosts" in error["message"]


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:9", "console.example"])
async def test_our_own_names_are_served(client: Client, host: str) -> None:
    await get(client, "/api/calls", Host=host)


async def test_data_is_refused_to_pages_of_other_origins_and_never_shared_with_them(client: Client) -> None:
    for site in ("cross-site", "same-site"):
        assert (await get(client, "/api/calls", 403, **{"Sec-Fetch-Site": site}))["error"]["code"] == "other_site"
    reply = await client.get("/api/calls", headers={"Origin": "https://evil.example"})
    assert reply.status == 403
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert (await client.options("/api/calls")).status == 405


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "http://127.0.0.1:9", "Host": "127.0.0.1:8"}),
        (403, {"Origin": "http://console.example.evil.example", "Host": "console.example"}),
        (403, {"Origin": "http://[", "Host": "127.0.0.1:8"}),
        (200, {"Origin": "http://127.0.0.1:8", "Host": "127.0.0.1:8"}),
        (200, {"Origin": "http://[::1]:8", "Host": "[::1]:8"}),
        (200, {"Origin": "http://console.example:81", "Host": "console.example"}),
        (200, {"Origin": "http://pbx.example", "Host": "127.0.0.1:8", "X-Forwarded-Host": "pbx.example, inner"}),
        (200, {"Origin": "https://pbx.example", "Host": "127.0.0.1:8", "Sec-Fetch-Site": "same-origin"}),
    ],
)
async def test_browsers_that_tell_only_the_page_are_asked_for_that(
    client: Client, status: int, headers: dict[str, str]
) -> None:
    assert (await client.get("/api/calls", headers=headers)).status == status


@pytest.mark.parametrize("path", ["/", "/call/x", "/demo", "/static/app.css", "/api/calls", "/api/nothing"])
async def test_every_answer_carries_the_headers_that_keep_browsers_safe(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


async def test_the_demo_page_alone_may_talk_to_the_gateway(client: Client) -> None:
    policy = (await client.get("/demo", headers={"Host": "localhost:8080"})).headers["Content-Security-Policy"]
    assert "connect-src 'self' http://localhost:18088 ws://localhost:8188;" in policy
    assert "18088" not in (await client.get("/")).headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["../api.py", "..%2Fapi.py", "%2e%2e/api.py", "....//api.py", "/etc/passwd", "vendor", "vendor/", "", "%00"]
)
async def test_no_path_leads_out_of_the_static_files(client: Client, path: str) -> None:
    reply = await client.get(f"/static/{path}")
    assert reply.status == 404
    assert b"import" not in await reply.read()


async def test_a_browser_that_has_a_file_is_told_so(client: Client) -> None:
    reply = await client.get("/static/main.js")
    assert reply.content_type == "text/javascript" and reply.headers["Cache-Control"] == "no-cache"
    again = await client.get("/static/main.js", headers={"If-None-Match": reply.headers["ETag"]})
    assert again.status == 304 and await again.read() == b""


# --- live updates ------------------------------------------------------------------------------------------------


async def read_event(stream: Any) -> tuple[str, Any]:
    """The next event of a stream; comments and the retry line are passed over."""
    name = ""
    async with asyncio.timeout(5):
        while True:
            line = (await stream.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                return name, json.loads(line[6:])


async def test_a_new_call_and_its_end_are_pushed_to_the_list(client: Client, archive: MemoryArchive) -> None:
    events = [another(item, 3) for item in recorded("chrome_echo_http")]

    async def pushed(correlation_id: str) -> dict[str, Any]:
        while True:
            name, calls = await read_event(stream)
            assert name == "calls"
            for call in calls:
                if call["correlation_id"] == correlation_id:
                    return dict(call)

    async with client.get("/api/live") as stream:
        assert stream.content_type == "text/event-stream"
        assert await read_event(stream) == ("reload", {}), "the list was fetched before anybody watched for it"
        [correlation_id] = archive.add(events[:40])
        assert "ended_us" not in await pushed(correlation_id)
        archive.add(events[40:])
        ended = await pushed(correlation_id)
        assert ended["ended_us"] > ended["started_us"]


async def test_the_page_of_a_live_call_is_told_to_look_again(client: Client, archive: MemoryArchive) -> None:
    [live] = archive.add(another(item, 4) for item in recorded("chrome_echo_http")[:40])
    async with client.get("/api/live", params={"call": live}) as stream:
        assert await read_event(stream) == ("reload", {})
        assert await read_event(stream) == ("call", {})


async def test_the_page_of_a_call_that_ended_before_its_stream_is_told_once(
    client: Client, archive: MemoryArchive
) -> None:
    async with client.get("/api/live", params={"call": only(archive, "opq-echo_http")}) as stream:
        assert await read_event(stream) == ("reload", {})
        assert await read_event(stream) == ("call", {})


async def test_watchers_are_bounded_and_a_place_is_free_again(client: Client) -> None:
    first, second = await client.get("/api/live"), await client.get("/api/live")
    refused = await client.get("/api/live")
    assert refused.status == 503 and refused.headers["Retry-After"] == "10"
    assert (await refused.json())["error"]["code"] == "too_many"
    first.close()
    async with asyncio.timeout(5):
        while (again := await client.get("/api/live")).status != 200:
            again.release()
    again.close()
    second.close()


async def test_stopping_the_server_does_not_wait_for_watchers(archive: MemoryArchive) -> None:
    from tests.console.serve import application

    client: Client = TestClient(TestServer(application(archive)))
    await client.start_server()
    stream = await client.get("/api/live")
    async with asyncio.timeout(2):
        await client.server.close()
    assert stream.content.at_eof() or await stream.content.read() is not None
    await client.close()


# --- size --------------------------------------------------------------------------------------------------------


def hour_long_call() -> list[Event]:
    """A recorded call whose statistics go on for an hour: 7,200 of audio and video."""
    events = recorded("loss_slowlink")
    stats = [item for item in events if item.type == 32 and item.subtype == 3 and item.body.media != "data"]  # type: ignore[attr-defined]
    first = events.index(stats[0])
    long = []
    for second in range(3600):
        for medium in ("audio", "video"):
            last = [item for item in stats if item.body.media == medium][-1]  # type: ignore[attr-defined]
            body = msgspec.structs.replace(
                last.event,
                packets_received=50 * second, packets_sent=50 * second, bytes_received=6000 * second,
                bytes_sent=6000 * second, lost=second // 100, lost_by_remote=second // 90,
            )  # fmt: skip
            at = stats[0].timestamp + second * 1_000_000
            long.append(msgspec.structs.replace(last, event=body, timestamp=at))
    return [*events[:first], *long]


async def test_an_hour_long_call_is_made_once_for_all_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.console.serve import application

    archive = MemoryArchive()
    [correlation_id] = archive.add(hour_long_call())
    made: list[int] = []

    def counted(summary: Any, events: Any, usual: Any) -> bytes:
        made.append(len(events))
        return _explanation(summary, events, usual)

    monkeypatch.setattr("appliance.console.api._explanation", counted)
    async with TestClient(TestServer(application(archive))) as client:
        call = await get(client, f"/api/calls/{correlation_id}")
        assert [len(track["series"]["rtt_ms"]) for track in call["tracks"] if track["kind"] != "data"] == [3599, 3599]
        assert await get(client, f"/api/calls/{correlation_id}") == call
        assert len(made) == 1, "the second reader gets what was made for the first"
        page = await get(client, f"/api/calls/{correlation_id}/events?limit=200")
        assert page["total"] > 7200 and len(page["events"]) == 200


async def test_ended_calls_are_grouped(client: Client) -> None:
    async with client.get("/api/fleet", params={"by": "code", "since": "0"}) as reply:
        fleet = await reply.json()
    assert {group["key"]: group["calls"] for group in fleet["groups"]}["fingerprint_mismatch"] == 1
    assert sum(group["calls"] for group in fleet["groups"]) == len(CALLS)
    assert fleet["outliers"] == []


async def test_a_group_that_is_none_is_refused(client: Client) -> None:
    async with client.get("/api/fleet", params={"by": "colour"}) as reply:
        assert reply.status == 400
        assert "by: 'colour' came, wanted one of network" in (await reply.json())["error"]["message"]


async def test_a_phase_is_told_beside_what_is_usual(client: Client, archive: MemoryArchive) -> None:
    found = next(call for call in archive.summaries.values() if call.ended_us is not None)
    async with client.get(f"/api/calls/{found.correlation_id}") as reply:
        usual = (await reply.json())["usual_phases"]
    assert usual["ice"]["calls"] >= 1
    assert usual["ice"]["p95_us"] >= usual["ice"]["median_us"] > 0


async def test_those_of_a_room_are_told(client: Client, archive: MemoryArchive) -> None:
    archive.add(recorded("videoroom_http"))
    async with client.get("/api/members", params={"room": "4321"}) as reply:
        members = (await reply.json())["members"]
    assert [(one["display"], [watched["display"] for watched in one["watches"]]) for one in members] == [
        ("bob", ["alice"]),
        ("alice", ["bob"]),
    ]


async def test_whose_room_must_be_said(client: Client) -> None:
    async with client.get("/api/members") as reply:
        assert reply.status == 400
