"""What a benchmark tells: figures with what was asked of them."""

from typing import NamedTuple


class Figure(NamedTuple):
    """One measured claim. ``wanted`` is a bound in words (``<= 0.75``), or empty where nothing was promised."""

    name: str
    value: float
    unit: str
    wanted: str = ""
    note: str = ""

    def holds(self) -> bool | None:
        """Whether the bound is met; ``None`` without one."""
        if not self.wanted:
            return None
        sign, _, bound = self.wanted.partition(" ")
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


def table(figures: list[Figure]) -> str:
    """As Markdown."""
    lines = ["| figure | measured | wanted | |", "|---|---|---|---|"]
    for figure in figures:
        verdict = {True: "met", False: "**missed**", None: ""}[figure.holds()]
        remark = f"{verdict} {figure.note}".strip()
        lines.append(f"| {figure.name} | {figure.value:.3g} {figure.unit} | {figure.wanted} | {remark} |")
    return "\n".join(lines)
