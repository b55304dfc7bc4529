"""The query API is what its own description says: every answer fits its schema, and every parameter is told."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from appliance.console.api import Console
from appliance.console.operations import MAX_RECORDS, OPERATIONS
from appliance.console.settings import Options
from appliance.core.events import from_janus
from tests.console.recorded import MemoryArchive, another, recorded, trace
from tests.console.serve import application

Client = TestClient[web.Request, web.Application]


async def described(client: Client) -> dict[str, Any]:
    async with client.get("/api/openapi.json") as reply:
        assert reply.status == 200
        found: dict[str, Any] = await reply.json()
        return found


def closed(value: Any) -> Any:
    """A schema that allows only what it names: an answer has nothing that is not described."""
    if isinstance(value, list):
        return [closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    whole = {name: closed(item) for name, item in value.items()}
    return whole | {"additionalProperties": False} if "properties" in value else whole


def fits(document: dict[str, Any], path: str, status: int, body: Any) -> None:
    """As the operation's own schema of an answer has it."""
    content = document["paths"][path]["get"]["responses"][str(status)]["content"]
    # The components stand where the references of the schema point to.
    schema = closed({"components": document["components"], **content["application/json"]["schema"]})
    problems = [problem.message for problem in Draft202012Validator(schema).iter_errors(body)]
    assert not problems, problems[:3]


async def test_the_description_is_valid_and_tells_every_operation(client: Client) -> None:
    document = await described(client)
    validate(document, cls=OpenAPIV31SpecValidator)
    assert document["openapi"].startswith("3.1.")
    assert set(document["paths"]) == {operation.path for operation in OPERATIONS}
    for path, item in document["paths"].items():
        assert list(item) == ["get"], f"{path} is read-only"


async def test_what_is_described_is_served(archive: MemoryArchive) -> None:
    routes = application(archive).router.routes()
    served = {route.resource.canonical for route in routes if route.resource is not None and route.method == "GET"}
    assert {operation.path for operation in OPERATIONS} <= served


def asked(archive: MemoryArchive) -> Iterator[tuple[str, str]]:
    """Each operation that answers JSON, with parameters, and its path as it is described."""
    ids = [call.correlation_id for call in archive.summaries.values()]
    yield from ((f"/api/calls{query}", "/api/calls") for query in ("", "?limit=2", "?live=true", "?search=opq"))
    for correlation_id in ids:
        yield f"/api/calls/{correlation_id}", "/api/calls/{correlation_id}"
        yield f"/api/calls/{correlation_id}/events?limit=2000", "/api/calls/{correlation_id}/events"
    yield f"/api/calls/{ids[0]}/events?types=webrtc,jsep&offset=1", "/api/calls/{correlation_id}/events"
    yield from ((f"/api/records{query}", "/api/records") for query in ("", "?limit=2", "?room=none", "?format=json"))
    by = ("network", "browser", "pair", "protocol", "server", "room", "plugin", "code", "hour")
    yield from ((f"/api/fleet?by={word}&since=0", "/api/fleet") for word in by)
    yield from ((f"/api/members?{query}", "/api/members") for query in ("room=4321", "user=alice", "user=nobody"))
    yield "/api/openapi.json", "/api/openapi.json"


async def test_every_answer_fits_its_schema(client: Client, archive: MemoryArchive) -> None:
    archive.add(recorded("videoroom_http"))
    document = await described(client)
    seen = set()
    for address, path in asked(archive):
        async with client.get(address) as reply:
            body = await reply.json()
            assert reply.status == 200, (address, body)
        fits(document, path, 200, body)
        seen.add(path)
    with_json = {
        path for path, item in document["paths"].items()
        if "application/json" in item["get"]["responses"]["200"]["content"]
    }  # fmt: skip
    assert seen == with_json


def test_a_wrong_answer_does_not_fit() -> None:
    document = {
        "components": {"schemas": {"Said": {"properties": {"word": {"type": "string"}}, "required": ["word"]}}},
        "paths": {"/said": {"get": {"responses": {"200": {"content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Said"}}
        }}}}}},
    }  # fmt: skip
    fits(document, "/said", 200, {"word": "yes"})
    for wrong in ({}, {"word": 1}, {"word": "yes", "more": "no"}):
        with pytest.raises(AssertionError):
            fits(document, "/said", 200, wrong)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_an_unknown_parameter_is_refused_by_name(client: Client, operation: Any, archive: MemoryArchive) -> None:
    address = operation.path.replace("{correlation_id}", next(iter(archive.summaries)))
    async with client.get(address, params={"colour": "red"}) as reply:
        body = await reply.json()
        assert reply.status == 400
    known = [each.name for each in operation.parameters if not each.in_path]
    wanted = f"wanted one of {', '.join(known)}" if known else "wanted none"
    assert body["error"]["message"] == f"colour: there is no such parameter, {wanted}"
    fits(await described(client), operation.path, 400, body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_parameters_are_held_to_their_schema(client: Client, operation: Any, archive: MemoryArchive) -> None:
    address = operation.path.replace("{correlation_id}", next(iter(archive.summaries)))
    for parameter in operation.parameters:
        if parameter.in_path:
            continue
        schema = parameter.schema
        wrong = {
            "integer": [str(schema.get("maximum", 0) + 1), "many", "-1"],
            "boolean": ["maybe"],
            "string": ["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else ["none of these"],
        }[schema["type"]]
        for value in wrong:
            async with client.get(address, params={parameter.name: value}) as reply:
                assert reply.status == 400, (parameter.name, value)
                assert (await reply.json())["error"]["message"].startswith(f"{parameter.name}: ")
        given = str(schema.get("default", schema.get("minimum", "")))
        async with client.get(address, params=[(parameter.name, given)] * 2) as reply:
            assert reply.status == 400
            message = (await reply.json())["error"]["message"]
            assert message == f"{parameter.name}: it came more than once, wanted one"


async def test_the_errors_are_described(client: Client) -> None:
    document = await described(client)
    for path in ("/api/calls/{correlation_id}", "/api/calls/{correlation_id}/events"):
        async with client.get(path.replace("{correlation_id}", "1-2-3@nowhere")) as reply:
            assert reply.status == 404
            fits(document, path, 404, await reply.json())
    nothing_kept = web.Application()
    nothing_kept.add_routes(Console(None, None).routes())
    async with TestClient(TestServer(nothing_kept)) as bare:
        for operation in OPERATIONS:
            # What must be said besides, where something must.
            query = {"members": {"room": "1"}}.get(operation.name, {})
            async with bare.get(operation.path.replace("{correlation_id}", "1-2-3@nowhere"), params=query) as reply:
                if operation.wants_store:
                    assert reply.status == 503
                    fits(document, operation.path, 503, await reply.json())
                else:
                    assert reply.status == 200


async def test_without_the_secret_the_answer_is_the_one_described(archive: MemoryArchive, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a reader's long secret")
    secret.chmod(0o600)
    options = Options(reader_secret_file=str(secret))
    async with TestClient(TestServer(application(archive, options))) as closed_to_all:
        headers = {"Authorization": "Bearer a reader's long secret"}
        async with closed_to_all.get("/api/openapi.json", headers=headers) as reply:
            document = await reply.json()
        async with closed_to_all.get("/api/records") as reply:
            assert reply.status == 401
            fits(document, "/api/records", 401, await reply.json())
        async with closed_to_all.get("/api/records", headers=headers) as reply:
            assert reply.status == 200


# --- records -----------------------------------------------------------------------------------------------------


async def records(client: Client, **query: str) -> dict[str, Any]:
    async with client.get("/api/records", params=query) as reply:
        assert reply.status == 200
        found: dict[str, Any] = await reply.json()
        return found


async def test_records_come_in_pages_and_each_once(client: Client) -> None:
    every = (await records(client))["records"]
    assert len(every) == 6
    pages, query = [], {"limit": "4"}
    while True:
        page = await records(client, **query)
        pages.append(page["records"])
        if page["before"] is None:
            break
        query["before"] = str(page["before"])
    assert [len(page) for page in pages] == [4, 2]
    assert [one for page in pages for one in page] == every
    assert [one["id"] for one in every] == sorted((one["id"] for one in every), reverse=True)


async def test_records_are_found_by_what_they_say(client: Client) -> None:
    every = (await records(client))["records"]
    for name, field in (("code", "code"), ("server", "server"), ("network", "network"), ("browser", "browser")):
        for value in {one[field] for one in every if one[field]}:
            found = (await records(client, **{name: value}))["records"]
            assert found == [one for one in every if one[field] == value], (name, value)
    [bad] = (await records(client, code="fingerprint_mismatch"))["records"]
    assert (bad["opaque_id"], bad["up_us"], bad["stopped_in"]) == ("opaque-dtls_badfp", None, "dtls")
    assert (await records(client, code="fingerprint_mismatch", room="1"))["records"] == []


async def test_records_are_of_a_time_with_its_beginning_and_without_its_end(client: Client) -> None:
    ends = sorted(one["ended_us"] for one in (await records(client))["records"])
    found = (await records(client, since=str(ends[1]), until=str(ends[4])))["records"]
    assert sorted(one["ended_us"] for one in found) == ends[1:4]


async def test_a_spreadsheet_gets_the_same_and_nothing_that_it_would_run(
    client: Client, archive: MemoryArchive
) -> None:
    for item in trace("dtls_badfp"):
        told = json.loads(json.dumps(item).replace("opaque-dtls_badfp", '=HYPERLINK(\\"a\\",\\n2)'))
        archive.add(another(event, 1) for event in from_janus(told))
    every = (await records(client))["records"]
    async with client.get("/api/records", params={"format": "csv"}) as reply:
        assert reply.content_type == "text/csv"
        rows = list(csv.DictReader(io.StringIO(await reply.text(), newline="")))
    assert len(rows) == len(every) == 7
    for row, one in zip(rows, every, strict=True):
        assert list(row) == list(one)
        for name, value in one.items():
            plain = "" if value is None else str(value)
            assert row[name] == (f"'{plain}" if plain.startswith("=") else plain)
    assert sum(row["opaque_id"].startswith("'=HYPERLINK") for row in rows) == 1


async def test_a_page_is_bounded(client: Client) -> None:
    async with client.get("/api/records", params={"limit": str(MAX_RECORDS + 1)}) as reply:
        assert reply.status == 400
    assert len((await records(client, limit=str(MAX_RECORDS)))["records"]) == 6
