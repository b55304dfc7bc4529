"""What descriptions have in common is read once; what is wrong is told each time, with its own line."""

from functools import partial
from pathlib import Path

import pytest

from appliance.wire import sdp
from appliance.wire.shared import Shared

OFFER = (Path(__file__).parent.parent / "data/sdp/chrome_offer.sdp").read_text()


def test_a_value_is_read_once_and_the_oldest_goes() -> None:
    asked: list[str] = []
    shared: Shared[str, int] = Shared(2)

    def read(text: str) -> int:
        asked.append(text)
        return int(text)

    assert [shared.of(text, partial(read, text)) for text in ("1", "1", "2", "3", "1")] == [1, 1, 2, 3, 1]
    assert (asked, len(shared)) == (["1", "2", "3", "1"], 2)


def test_what_can_not_be_read_is_not_kept() -> None:
    shared: Shared[str, int] = Shared(2)
    for _ in range(2):
        with pytest.raises(ValueError, match="'x'"):
            shared.of("x", lambda: int("x"))
    assert len(shared) == 0


def test_descriptions_of_one_browser_share_their_codecs() -> None:
    first, second = sdp.parse(OFFER), sdp.parse(OFFER.replace("a=ice-ufrag:", "a=ice-ufrag:other"))
    assert first != second
    for one, other in zip(first.media, second.media, strict=True):
        assert one.codecs is other.codecs or not one.codecs
        assert one.extensions == other.extensions


def test_a_codec_on_other_lines_is_another_codec() -> None:
    plain, changed = sdp.parse(OFFER), sdp.parse(OFFER.replace("useinbandfec=1", "useinbandfec=0"))
    assert plain.media[0].codecs[111].fmtp != changed.media[0].codecs[111].fmtp


def test_an_error_names_the_line_where_it_stands_now() -> None:
    broken = OFFER.replace("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus")
    at = broken.split("\r\n" if "\r\n" in broken else "\n").index("a=rtpmap:111 opus") + 1
    for text, line in ((broken, at), (broken.replace("t=0 0", "t=0 0\r\ni=more"), at + 1)):
        with pytest.raises(sdp.SdpDecodeError, match=f"line {line} is"):
            sdp.parse(text)
