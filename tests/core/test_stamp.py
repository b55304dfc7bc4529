from appliance.core.events import Connection, Jsep, SessionDescription, Transport, event
from appliance.core.stamp import Stamper
from tests.clock import FakeClock

UP = event(Connection(connection="webrtcup"), emitter="gw", timestamp=1, session_id=1, handle_id=2)
HANGUP = event(Connection(connection="hangup"), emitter="gw", timestamp=2, session_id=1, handle_id=2)
OFFER = event(
    Jsep(owner="remote", jsep=SessionDescription("offer", "v=0\r\n")),
    emitter="gw", timestamp=3, session_id=1, handle_id=2,
)  # fmt: skip


def test_numbers_rise_while_the_clock_stands_still_and_follow_it_when_it_moves() -> None:
    clock = FakeClock()
    stamper = Stamper(clock)
    now = clock.wall_us()
    assert [stamper.stamp(UP).id for _ in range(3)] == [now, now + 1, now + 2]
    clock.advance(1)
    assert stamper.stamp(UP).id == now + 1_000_000 < 2**53


def test_numbers_rise_over_a_restart_with_a_clock_that_was_set_back() -> None:
    clock = FakeClock()
    assert Stamper(clock, last=clock.wall_us() + 5).stamp(UP).id == clock.wall_us() + 6


def test_collectors_that_share_a_store_never_give_the_same_number() -> None:
    clock = FakeClock()
    stampers = [Stamper(clock, collector=number) for number in range(1, 17)]
    given: list[int] = []
    for _ in range(3):
        for stamper in stampers:
            numbers = [stamper.stamp(UP).id for _ in range(10)]
            assert numbers == sorted(numbers)
            given += numbers
        clock.advance(0.001)
    assert len(set(given)) == len(given)
    assert max(given) - clock.wall_us() < 1000


def test_each_peerconnection_of_a_handle_has_its_own_correlation() -> None:
    stamper = Stamper(FakeClock())
    ids = [stamper.stamp(item).correlation_id for item in (OFFER, UP, HANGUP, OFFER, UP)]
    assert ids == ["1-2-1@gw"] * 3 + ["1-2-2@gw"] * 2


def test_what_belongs_to_no_handle_has_no_correlation() -> None:
    request = event(Transport(transport="janus.transport.http", id="1", data={}), emitter="gw", timestamp=1)
    assert Stamper(FakeClock()).stamp(request).correlation_id is None


def test_a_correlation_that_the_gateway_gave_is_kept() -> None:
    from msgspec.structs import replace

    assert Stamper(FakeClock()).stamp(replace(UP, correlation_id="1-2-7@gw")).correlation_id == "1-2-7@gw"
