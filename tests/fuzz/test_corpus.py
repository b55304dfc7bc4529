"""The whole corpus, what once broke a reader included, and some noise beside it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
SEEDS = {name: [path.read_bytes() for path in FILES if path.parent.name == name] for name in TARGETS}


def test_every_target_has_a_corpus_and_nothing_else_has() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_breaks_nothing(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_seed_that_is_damaged_breaks_nothing(name: str, data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SEEDS[name]), "seed"))
    for _ in range(data.draw(st.integers(1, 6), "times")):
        if not damaged:
            break
        at = data.draw(st.integers(0, len(damaged) - 1), "at")
        match data.draw(st.sampled_from(("change", "cut", "repeat", "drop")), "how"):
            case "change":
                damaged[at] = data.draw(st.integers(0, 255), "byte")
            case "cut":
                del damaged[at:]
            case "repeat":
                damaged[at:at] = damaged[at : at + 40]
            case _:
                del damaged[at : at + data.draw(st.integers(1, 8), "size")]
    TARGETS[name](bytes(damaged))
