"""A call in one row: what stands in it, where it comes from, and what is left out."""

from pathlib import Path

import pytest

from appliance.core import events as e
from appliance.diagnosis.agent import FAMILIES, by_description, by_header
from appliance.diagnosis.record import CallRecord, network, record
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import judge
from tests.diagnosis.build import Call

SDPS = Path(__file__).parent.parent / "data" / "sdp"
FIREFOX = "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 47 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=msid-semantic:WMS *\r\n"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605"
)


def record_of(call: Call) -> CallRecord:
    timeline = Timeline.fold(call.events, points=0, texts=False)
    return record(timeline, judge(timeline))


def test_a_healthy_call() -> None:
    found = record_of(Call().up("audio sendrecv").media(10, lost=0.02).hangup("Close PC"))
    assert (found.correlation_id, found.server, found.session_id, found.handle_id) == ("7-9-1@gw", "gw", 7, 9)
    assert found.network == "198.51.100.0/24"
    assert (found.local_type, found.remote_type) == ("host", "srflx")
    assert found.phases_us["ice"] == 50_000
    assert found.phases_us["dtls"] == 50_000
    assert found.duration_us == pytest.approx(10_000_000, abs=1_000_000)
    assert found.loss_in == pytest.approx(0.02, abs=0.005)
    assert found.stopped_in is None
    assert found.hangup_reason == "Close PC"


def test_a_call_that_never_was_up() -> None:
    found = record_of(Call().settled().after(30).ice("failed").hangup("ICE failed"))
    assert (found.stopped_in, found.up_us, found.duration_us) == ("ice", None, 0)
    assert "ice" not in found.phases_us
    assert found.severity == "fault"
    assert found.loss_in is None


def test_the_participant_is_the_plugins() -> None:
    call = Call().add(
        e.Plugin(plugin="janus.plugin.videoroom", data={"event": "joined", "room": 1234, "display": "al"})
    )
    found = record_of(call.up().hangup("Close PC"))
    assert (found.room, found.display) == ("1234", "al")


def test_a_browser_by_its_header_rather_than_by_its_engine() -> None:
    call = Call()
    address = {"event": "request", "ip": "203.0.113.9", "port": 4711, "user_agent": CHROME}
    call.add(e.Transport(transport="janus.transport.http", id="1", data=address), handle=None, session=None)
    created = e.Session(name="created", transport=e.TransportRef(transport="janus.transport.http", id="1"))
    call.add(created, handle=None)
    found = record_of(call.settled().hangup("ICE failed"))
    assert (found.browser, found.client_address, found.network) == ("Chrome", "203.0.113.9:4711", "203.0.113.0/24")


@pytest.mark.parametrize(
    ("header", "family"),
    [
        (CHROME, "Chrome"),
        (CHROME + " Edg/140.0.0.0", "Edge"),
        (SAFARI, "Safari"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox"),
        ("python-requests/2.32", None),
        ("", None),
    ],
)
def test_headers(header: str, family: str | None) -> None:
    assert by_header(header) == family


@pytest.mark.parametrize(
    ("sdp", "family"),
    [
        ((SDPS / "chrome_offer.sdp").read_text("utf-8"), "libwebrtc"),
        ((SDPS / "aiortc_offer.sdp").read_text("utf-8"), "aiortc"),
        (FIREFOX, "Firefox"),
        ("v=0\r\nm=audio 9 RTP/AVP 0\r\na=msid-semantic:WMS *\r\n", "other"),
        ("", "other"),
    ],
)
def test_descriptions(sdp: str, family: str) -> None:
    assert by_description(sdp) == family
    assert family in FAMILIES


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("192.0.2.77:5000", "192.0.2.0/24"),
        ("[2001:db8:1:2::3]:5000", "2001:db8:1::/48"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("3f1a.local", None),
        ("", None),
    ],
)
def test_networks(address: str, prefix: str | None) -> None:
    assert network(address) == prefix
