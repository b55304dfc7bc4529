"""What a row of the table is: the signs that it looks for, and the words for people that go with them."""

from collections.abc import Callable
from string import Formatter

from msgspec import Struct

from appliance.diagnosis.case import Case, Finding


class Rule(Struct, frozen=True, kw_only=True):
    """One row. In ``sentence``, ``{name}`` is a figure of the finding."""

    code: str
    """The name of the function."""
    phase: str
    """The step at which the call stands or fell, see :data:`appliance.diagnosis.words.PHASES`."""
    severity: str
    actor: str
    when: Callable[[Case], Finding | None]
    """Whether it holds, and what shows that."""
    sentence: str
    advice: str
    disproof: str
    """What, if it were seen, would show that this verdict is wrong."""
    absence: bool = False
    """It rests on something that did not come: a hole in the evidence could have swallowed that."""
    beside: bool = False
    """It may hold together with others, and is then told of under ``also``."""

    @property
    def signs(self) -> str:
        """What it looks for, in one line: the first of the function's docstring."""
        return (self.when.__doc__ or "").strip().splitlines()[0]

    def say(self, finding: Finding) -> str:
        """The sentence with its figures."""
        return Formatter().vformat(self.sentence, (), finding.detail)


def rule(
    *,
    phase: str,
    severity: str,
    actor: str,
    sentence: str,
    advice: str,
    disproof: str,
    absence: bool = False,
    beside: bool = False,
) -> Callable[[Callable[[Case], Finding | None]], Rule]:
    """Make a row of a function; the table itself is in :mod:`appliance.diagnosis.rules`."""

    def made(when: Callable[[Case], Finding | None]) -> Rule:
        return Rule(
            code=when.__name__,
            phase=phase,
            severity=severity,
            actor=actor,
            when=when,
            sentence=sentence,
            advice=advice,
            disproof=disproof,
            absence=absence,
            beside=beside,
        )

    return made
