"""``python -m shared.backtest``: what the rules would have done over stored minutes, or over recorded series.

Reads the deployment that the environment names (``ION_PROJECT`` ...), otherwise the newest database of a local run.
Ends with 0; with 1 when a comparison leaves a difference unexplained; with 2 when it cannot run: then stderr says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..adapters.sqlite_store import SqliteStore
from ..cells import Observation
from ..config import Config, load_config
from ..errors import ConfigError, MonitoringError
from ..local.series_file import Target, read_series, target_of
from ..monitoring_config import MonitoringConfig
from ..rules import Selection
from ..store import Store
from ..timeline import to_us
from ..usual_store import moving_keys
from ..wiring import build, monitoring_config, utc_now
from .asked import Asked, labelled, outcome
from .causes import Cause, Replayed
from .compare import compare
from .run import Progress, Recorded
from .scores import Labelled, Score, read_windows
from .stored import Stored
from .table import comparison, scores

UNEXPLAINED = 1
CANNOT_RUN = 2
LOCAL_PROJECT = "ion-local"
DEFAULT_HOURS = 72.0
_BAR = 30
_NOTHING_USUAL = "Of a file nothing is known that is usual: a rule on a baseline does not fire."
_HOURS_ONLY = "Older than 76 hours, only hours are kept: percentiles over more than a minute may be too high there."


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        environment = load_config(defaults={"ION_PROJECT": LOCAL_PROJECT})
        config = monitoring_config(environment)
        if options.compare:
            return _compare(config, environment, options)
        asked = Asked.read(config, options.rule, options.set)
        windows = None if options.windows is None else read_windows(options.windows.read_text("utf-8"))
        if options.csv:
            _over_files(asked, options, windows)
        else:
            _over_store(asked, Stored(_store(environment, options.folder), utc_now()), options.hours, windows)
    except (MonitoringError, OSError, UnicodeDecodeError) as error:
        print(error.detail if isinstance(error, ConfigError) else error, file=sys.stderr)
        return CANNOT_RUN
    return 0


Windows = Mapping[str, Sequence[Labelled]] | None


def _over_files(asked: Asked, options: argparse.Namespace, windows: Windows) -> None:
    """Each file on its own, as the same collection, and the score of all of them."""
    if not options.collection:
        raise ConfigError("a file needs a collection, such as cpu_utilization_us")
    if any(moving_keys(one) for one in asked.configs()):
        _say([_NOTHING_USUAL])
    target = target_of(asked.config, options.collection)
    _must_look_at(asked, target, options.collection)
    total: dict[str, Score] = {}
    for path in _files(options.csv):
        points = read_series(path)
        source = Recorded(Observation(target.series, target.kind, to_us(one.at), one.value) for one in points)
        span = source.span(options.hours)
        found = outcome(asked, source, span, _progress(), None, labelled(windows, path.as_posix()))
        _say([f"{path.name}: {len(points)} points of {options.collection}", *found.lines(), ""])
        for heading, one in found.scores.items():
            total[heading] = total.get(heading, Score()) + one
    if windows is not None:
        _say(scores(total))


def _must_look_at(asked: Asked, target: Target, collection: str) -> None:
    """Raises ``ConfigError`` for a rule that asks for something else, and names what would do."""
    if asked.rule is None:
        return
    query = asked.config.query_for(asked.rule)
    wanted = [query.select, *filter(None, [query.per])]
    if any(_selects(one, target) for one in wanted):
        return
    known = [one.name for one in asked.config.list_collections() if one.query.per is None]
    fitting = [name for name in known if any(_selects(one, target_of(asked.config, name)) for one in wanted)]
    metrics = " and ".join(dict.fromkeys(one.metric for one in wanted))
    hint = f"; try --collection {', '.join(fitting)}" if fitting else ""
    raise ConfigError(f"{asked.rule.id} does not look at {collection}, it looks at {metrics}{hint}")


def _selects(one: Selection, target: Target) -> bool:
    return one.metric == target.series.metric and set(one.labels) <= set(target.series.labels)


def _files(given: Sequence[Path]) -> list[Path]:
    """The files, and those in the folders, by name. Raises ``ConfigError`` for none."""
    found = [one for path in given for one in (sorted(path.rglob("*.csv")) if path.is_dir() else [path])]
    if not found:
        raise ConfigError(f"no CSV file in {', '.join(path.as_posix() for path in given)}")
    return found


def _over_store(asked: Asked, stored: Stored, hours: float | None, windows: Windows) -> None:
    if windows is not None and asked.rule is None:
        raise ConfigError("windows of stored minutes are about a rule: name it")
    span = stored.span(DEFAULT_HOURS if hours is None else hours)
    about = None if asked.rule is None else labelled(windows, asked.rule.id)
    known = stored.baselines(asked.configs())
    found = outcome(asked, stored, span, _progress(), stored.history(span), about, known)
    _say(found.lines())
    if stored.is_old(span.first):
        _say([_HOURS_ONLY])
    if windows is not None:
        _say(["", *scores(found.scores)])


def _compare(config: MonitoringConfig, environment: Config, options: argparse.Namespace) -> int:
    """Compare a replay with history; whether all of it is explained, as the exit status."""
    if options.csv or options.rule or options.set or options.windows:
        raise ConfigError("a comparison is of stored minutes and of all rules, as they are")
    stored = Stored(_store(environment, options.folder), utc_now())
    span = stored.judged(stored.span(DEFAULT_HOURS if options.hours is None else options.hours))
    earlier = [MonitoringConfig.from_json(path.read_text("utf-8")) for path in options.earlier]
    cooldown = max((rule.cooldown_period for rule in config.evaluated_rules()), default=0)
    history = stored.history(span, cooldown)
    known, made_at = stored.baselines([config, *earlier]), stored.made_at([config, *earlier])
    then = Replayed(config, history, stored.rolled_up_at, earlier, stored.first_judged(), known, made_at)
    found = compare(stored, span, then, _progress())
    _say(comparison(config, span, found))
    return UNEXPLAINED if Cause.UNEXPLAINED in found.causes() else 0


def _store(environment: Config, folder: Path) -> Store:
    """The deployment's database, or the newest of a local run. Raises ``ConfigError`` when there is none."""
    if environment.project != LOCAL_PROJECT or environment.firestore_emulator_host:
        return build(environment).store
    found = sorted(folder.glob("run-*.sqlite"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(f"no database in {folder}: `make run` makes one; ION_PROJECT names a deployment")
    return SqliteStore(found[-1], utc_now)


def _progress() -> Progress:
    """A bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _done, _of: None
    return _draw


def _draw(done: int, of: int) -> None:
    full = done * _BAR // of
    sys.stderr.write(f"\r[{'#' * full}{'.' * (_BAR - full)}] {done * 100 // of:3} %")
    if done == of:
        sys.stderr.write("\r\033[K")
    sys.stderr.flush()


def _say(lines: Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.backtest", description=__doc__)
    parser.add_argument("--rule", default="", help="a rule's id or name; without it, all rules")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change the rule; repeatable")
    parser.add_argument("--hours", type=float, help="the last hours (default 72); of a file, all of it")
    parser.add_argument("--csv", action="append", default=[], type=Path, help="a file of timestamp,value, or a folder")
    parser.add_argument("--collection", default="", help="what a file is a recording of")
    parser.add_argument("--windows", type=Path, help="labelled windows in JSON: scores the alerts")
    parser.add_argument("--compare", choices=["history"], help="explain what a replay does otherwise than history")
    parser.add_argument("--earlier", action="append", default=[], type=Path, help="a configuration that judged before")
    parser.add_argument("--folder", type=Path, default=Path(".local"), help="where local runs have their databases")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
