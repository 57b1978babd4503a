"""``python -m tests.bench [PART ...]``: measure and print one table; parts are the modules beside this one.

Ends with 1 when a goal is not met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from tests.bench import alerts, bill, ingest, memory, reading, sizes, starting
from tests.bench.figures import Figure, table

PARTS: Mapping[str, Callable[[datetime], Iterable[Figure]]] = {
    "ingest": ingest.figures,
    "sizes": sizes.figures,
    "reading": reading.figures,
    "starting": starting.figures,
    "memory": memory.figures,
    "bill": bill.figures,
    "alerts": alerts.figures,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for, everything by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure and print one table.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    wanted = parser.parse_args(arguments).parts or list(PARTS)
    if unknown := set(wanted) - PARTS.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found: list[Figure] = []
    for part in wanted:
        print(f"measuring {part} ...", file=sys.stderr, flush=True)
        found += PARTS[part](datetime.now(UTC))
    print(*table(found), sep="\n")
    return 1 if any(figure.met is False for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
