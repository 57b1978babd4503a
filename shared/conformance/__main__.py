"""``python -m shared.conformance FILE``: play a scenario and print what became of it as JSON; ``-`` reads stdin.

Ends with 0, with 1 when states are not those that the scenario expects, with 2 when it cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import MonitoringError
from .report import report
from .scenario import disagreements, play, read_scenario

DISAGREES = 1
UNREADABLE = 2


def main(arguments: Sequence[str]) -> int:
    """Play what the arguments name; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared.conformance", description=__doc__)
    parser.add_argument("file", help="a scenario in JSON; - is stdin")
    name = parser.parse_args(arguments).file
    try:
        scenario = read_scenario(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
        evaluations = play(scenario)
    except (MonitoringError, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    sys.stdout.write(report(scenario, evaluations))
    return DISAGREES if disagreements(scenario, evaluations) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
