"""``python -m benchmarks [NAME ...]``: measure, and print one table. Each number has its peer in the same run."""

import sys
from importlib import import_module

from benchmarks.figures import Figure, table

NAMES = [
    "hep",
    "startup",
    "latency",
    "delay",
    "gateway",
    "sessions",
    "data",
    "room",
    "metrics",
    "store",
    "diagnosis",
    "replay",
    "events",
]


def main() -> None:
    """Run the named benchmarks, or all."""
    wanted = sys.argv[1:] or NAMES
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; known: {', '.join(NAMES)}")
    figures: list[Figure] = []
    for name in wanted:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures += import_module(f"benchmarks.{name}").main()
    print(table(figures))


if __name__ == "__main__":
    main()
