"""What tests of rooms begin with."""

from collections.abc import Iterator

import pytest

from tests.plugins.videoroom.people import ANSWER, MEDIA, Target


@pytest.fixture
def publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever offers, offers audio, video and data as :data:`MEDIA` has them."""
    monkeypatch.setattr("tests.core.fake_media.MEDIA", MEDIA)
    monkeypatch.setattr("tests.core.fake_media.ANSWER", ANSWER)


@pytest.fixture
def target() -> Iterator[Target]:
    found = Target()
    yield found
    found.close()
