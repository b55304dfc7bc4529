"""What Grafana asks the store, on the servers that it can ask."""

from pathlib import Path

import pytest

from appliance.core.events import Connection, DtlsState, IceState, Jsep, MediaState, SelectedPair
from tests.dashboards import GRAFANA, dashboard, further_annotations
from tests.handlers.databases import Home, database_server, with_all
from tests.handlers.harness import recorded


@pytest.fixture(params=with_all(["postgresql", "mariadb"]))
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return Home(request.param, tmp_path, database_server(request.param, request))


async def test_the_events_of_a_call_are_marked_on_its_dashboard(home: Home) -> None:
    events = list(recorded("janus-1.4/dtls_badfp.jsonl"))
    other = list(recorded("janus-1.4/chrome_echo_http.jsonl"))
    handler = home.store()
    await handler.start()
    await handler.handle([*events, *other])
    await handler.stop()
    offer = next(item for item in events if isinstance(item.event, Jsep))
    query = further_annotations(dashboard(GRAFANA / "dashboards" / "call.json"))["store"]["target"]["rawSql"]

    def marks(session: object, handle: object, since_us: int, until_us: int) -> list[tuple[int, str, str]]:
        sql = query
        for name, value in {
            "${session:sqlstring}": f"'{session}'", "${handle:sqlstring}": f"'{handle}'",
            "$__unixEpochNanoFrom()": str(since_us * 1000), "$__unixEpochNanoTo()": str(until_us * 1000),
        }.items():  # fmt: skip
            sql = sql.replace(name, value)
        assert "$" not in sql
        return [(int(when), text, tags) for when, text, tags in home.ask(sql)]

    first, last = min(item.timestamp for item in events), max(item.timestamp for item in events)
    found = marks(offer.session_id, offer.handle_id, first, last)
    assert found == sorted(found, key=lambda mark: mark[0])
    assert found[0][0] == offer.timestamp // 1000
    told = {text for _, text, _ in found}
    expected = {"client: offer", "server: answer", "ICE connected", "DTLS trying"}
    assert expected <= told, told
    assert {tags for *_, tags in found} <= {"sdp", "ice", "dtls", "connection", "media", "verdict"}
    of_it = [item for item in events if item.handle_id == offer.handle_id]
    kinds = (Jsep, IceState, SelectedPair, DtlsState, Connection, MediaState)
    assert len(found) == sum(isinstance(item.event, kinds) for item in of_it)
    half = (first + last) // 2
    assert marks(offer.session_id, offer.handle_id, half, last) == [mark for mark in found if mark[0] >= half // 1000]
    assert marks(offer.session_id, 1, first, last) == []
