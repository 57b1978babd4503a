"""The setup command: the text dashboard of what runs, and what sets it up, checks and explains it.

Without a subcommand it prints the dashboard. It reads the deployment that the environment names (ION_PROJECT,
ION_PREFIX, ION_DATABASE), or else the newest database of a local run. Ends with 0; with 1 when a check failed, files
differ or nobody agreed; with 2 when it cannot run: then stderr says why, in one line.

The specification's ``MonitoringSetup`` does the same from a program.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .alert_tuning import AlertTuningReport
from .backtest.run import Progress, Source, Span
from .backtest.scores import Labelled, read_windows
from .backtest.stored import Stored
from .config import load_config
from .cost import cost_report, count_operations
from .dashboard import DashboardPages, PageRequest
from .digest import digest_report
from .digest_preview import digest_page
from .errors import ConfigError, MonitoringError, TransientError
from .exports import Exported, imported
from .hours import KEPT as HOURS_KEPT
from .monitoring_config import MonitoringConfig
from .proposals import difference, propose
from .reader import Reader
from .render.report import Report, Section
from .setup_system import System, find_system
from .tune import read_report
from .tuning import WANTED_PER_WEEK
from .urls import Format
from .usual_store import Baselines
from .verification import Verification, Verifier, verify_configuration
from .wiring import monitoring_config, utc_now

__all__ = ["MonitoringSetup", "main"]
FAILED, CANNOT_RUN = 1, 2
DEFAULT_HOURS = 72.0
_LOCAL = {"ION_PROJECT": "ion-local"}


@dataclass(frozen=True, slots=True)
class MonitoringSetup:
    """Sets monitoring up: verifies, reports and exports a configuration, by default the one of ION Mentoring.

    With a ``source`` of minutes and a ``span`` the tuning report is of what happened there; without it has no data.
    """

    config: MonitoringConfig = field(default_factory=MonitoringConfig)
    source: Source | None = None
    span: Span | None = None

    def verify_configuration(self) -> Verification:
        """Whether the configuration is sound; true when it is."""
        return verify_configuration(self.config)

    def generate_monitoring_summary(self) -> str:
        """What is monitored, who hears of it, and what is shown: text."""
        return self.summary().render("text")

    def generate_dashboard_report(self) -> str:
        """The dashboards and what stands on them: text."""
        return self.dashboards().render("text")

    def generate_alert_tuning_report(
        self, wanted_per_week: float = WANTED_PER_WEEK, windows: Mapping[str, Sequence[Labelled]] | None = None
    ) -> AlertTuningReport:
        """What the rules did and what their values recommend; ``str`` gives the text.

        ``windows`` are what was worth an alert, by a rule's id: then the limit that meets them best is recommended.
        """
        if self.source is None or self.span is None:
            return AlertTuningReport(self.config.hash, wanted_per_week)
        known = self.baselines([self.config])
        return AlertTuningReport.generate(self.config, self.source, self.span, wanted_per_week, windows, known)

    def baselines(self, configs: Iterable[MonitoringConfig]) -> Baselines:
        """What is usual, for the rules that ask; nothing is known but of stored minutes."""
        return self.source.baselines(configs) if isinstance(self.source, Stored) else {}

    def export_configuration_json(self) -> str:
        """The whole configuration; ``MonitoringConfig.from_json`` makes an equal one of it."""
        return self.config.to_json()

    def export(self) -> Exported:
        """What the three files hold."""
        return Exported(self.config, self.generate_alert_tuning_report())

    def summary(self) -> Report:
        """What is monitored, as a report."""
        settings = self.config.settings
        rules = [
            (rule.name, "on" if rule.enabled else "off", rule.severity.value, _limit(self.config, rule.id),
             " ".join(self.config.channels_for(rule, rule.severity)))
            for rule in settings.rules
        ]  # fmt: skip
        counts = [
            f"{len(settings.metrics)} metrics in {len(settings.collections)} collections",
            f"{len(settings.rules)} rules, {len(settings.dashboards)} dashboards, {len(settings.channels)} channels",
            f"{len(settings.regions)} regions: {', '.join(region.name for region in settings.regions)}",
            f"minutes are kept {DEFAULT_HOURS:.0f} hours, hours {HOURS_KEPT.days} days",
        ]
        heading = ("RULE", "", "SEVERITY", "FIRES WHEN", "TELLS")
        sections = [Section("Monitored", counts), Section("Rules", [], heading, rules)]
        return Report(f"{settings.service} {settings.environment}", f"configuration {self.config.hash}", sections)

    def dashboards(self) -> Report:
        """The dashboards, as a report."""
        sections = [
            Section(one.title, [one.description], ("PANEL", "KIND", "HOURS", "SHOWS"),
                    [(panel.title, panel.kind.value, str(panel.range_hours),
                      ", ".join([*panel.collections, *(query.title for query in panel.queries)]) or "all")
                     for panel in one.panels])
            for one in self.config.list_dashboards()
        ]  # fmt: skip
        return Report("Dashboards", f"configuration {self.config.hash}", sections)


def _limit(config: MonitoringConfig, rule_id: str) -> str:
    rule = config.get_rule(rule_id)
    limit = rule.threshold
    if limit.baseline is not None:
        return f"{limit.operator} {limit.baseline}"
    return f"{limit.operator} {limit.value:g} {config.unit_for(rule)}".strip()


@dataclass(frozen=True, slots=True)
class _Command:
    """One call of the command line: what was asked for, and where things are."""

    options: argparse.Namespace
    say: Callable[[str], None]
    tell: Callable[[str], None]

    @property
    def config(self) -> MonitoringConfig:
        return monitoring_config(load_config(defaults=_LOCAL))

    def system(self) -> System:
        return find_system(self.options.folder)

    def setup(self) -> MonitoringSetup:
        """The configuration, with the minutes of what runs. Raises ``ConfigError`` where nothing does."""
        stored = Stored(self.system().store, utc_now())
        return MonitoringSetup(self.config, stored, stored.span(self.options.hours))

    def show(self, report: Report, plain: object) -> int:
        if self.options.format == "json":
            self.say(json.dumps(plain, indent=2, ensure_ascii=False))
        else:
            self.say(report.render(self.options.format).rstrip("\n"))
        return 0

    def dashboard(self) -> int:
        system = self.system()
        pages = DashboardPages(self.config, Reader(system.store), utc_now)
        extension = {"text": Format.TEXT, "markdown": Format.MARKDOWN}.get(self.options.format, self.options.format)
        answer = pages(PageRequest(f"/dashboards/overview.{extension}"))
        self.say(answer.body.decode().rstrip("\n"))
        return 0 if answer.status == 200 else FAILED

    def summary(self) -> int:
        return self.show(MonitoringSetup(self.config).summary(), self.config.to_dict())

    def dashboards(self) -> int:
        return self.show(MonitoringSetup(self.config).dashboards(), self.config.to_dict()["dashboards"])

    def tuning(self) -> int:
        setup = self.setup()
        self.tell("Reading minutes and trying rules on them ...")
        report = self.recommended(setup)
        forms = {"text": report.to_text, "json": report.to_json, "markdown": report.to_markdown, "html": report.to_html}
        self.say(forms[self.options.format]().rstrip("\n"))
        return 0

    def recommended(self, setup: MonitoringSetup) -> AlertTuningReport:
        """The tuning report, by labelled windows where a file of them is given."""
        path = self.options.windows
        windows = None if path is None else read_windows(path.read_text(encoding="utf-8"))
        return setup.generate_alert_tuning_report(self.options.wanted, windows)

    def apply(self) -> int:
        """Show a recommendation's difference and backtest, ask, and write the configuration file."""
        setup = self.setup()
        if setup.source is None or setup.span is None:
            raise ConfigError("there are no minutes to try a change on")
        setting = self.options.set
        if not setting:
            advice = self.recommended(setup).find(self.options.rule)
            setting = advice.setting
            if not setting:
                raise ConfigError(f"nothing is recommended for {self.options.rule}: {advice.note}")
        tell = _progress(self.tell)
        proposal = propose(setup.config, self.options.rule, setting, setup.source, setup.span, tell, setup.baselines)
        for line in proposal.lines():
            self.say(line)
        if not self.options.yes and not _agreed(self.options.output):
            self.tell("Nothing was written.")
            return FAILED
        self.options.output.write_text(proposal.configuration.to_json(), encoding="utf-8")
        self.tell(f"Wrote {self.options.output}; ION_CONFIG={self.options.output} uses it, and so does a deployment.")
        return 0

    def export(self) -> int:
        try:
            setup = self.setup()
        except ConfigError as error:
            self.tell(f"No recommendations: {error.detail}")
            setup = MonitoringSetup(self.config)
        files = setup.export().files()
        imported(files)
        self.options.output.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.options.output / name).write_text(text, encoding="utf-8")
            self.say(str(self.options.output / name))
        return 0

    def check(self) -> int:
        config = self.config if self.options.file is None else _read(self.options.file)
        found = verify_configuration(config)
        self.show(found.report(), found.to_dict())
        return 0 if found else FAILED

    def diff(self) -> int:
        before = self.config if self.options.other is None else _read(self.options.file)
        after = _read(self.options.file if self.options.other is None else self.options.other)
        lines = difference(before, after)
        self.say("\n".join(lines) if lines else "No difference.")
        return FAILED if lines else 0

    def cost(self) -> int:
        now = utc_now()
        operations = count_operations(self.config, self.system().store, now)
        report = cost_report(operations, now)
        return self.show(report, report.to_dict())

    def digest(self) -> int:
        now, store = utc_now(), self.system().store
        report = digest_report(self.config, store, read_report(store, now), now)
        if self.options.format == "html":
            url = load_config(defaults=_LOCAL).dashboard_url or ""
            self.say(digest_page(self.config, Reader(store), report, now, url).rstrip("\n"))
            return 0
        return self.show(report, report.to_dict())

    def verify(self) -> int:
        system = self.system()
        verifier = Verifier(
            self.config,
            system.store,
            system.publish,
            utc_now,
            system.sleep,
            self.tell,
            system.start,
            system.parts,
        )
        found = verifier(probe=not self.options.no_probe)
        self.show(found.report(system.name), found.to_dict())
        return 0 if found else FAILED


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; the exit status."""
    options = _parser().parse_args(arguments)
    command = _Command(options, partial(_line, sys.stdout), partial(_line, sys.stderr))
    try:
        status = getattr(command, options.command or "dashboard")()
    except TransientError as error:
        sys.stderr.write(f"Storage did not answer ({error}). Trying again in a moment may help.\n")
        return CANNOT_RUN
    except (MonitoringError, ValueError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{_reason(error)}\n")
        return CANNOT_RUN
    return int(status)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return error.detail if isinstance(error, ConfigError) else str(error)


def _line(stream: object, line: str) -> None:
    stream.write(f"{line}\n")  # type: ignore[attr-defined]  # one of the process's two streams
    stream.flush()  # type: ignore[attr-defined]  # so that progress is seen


def _read(path: Path) -> MonitoringConfig:
    return MonitoringConfig.from_json(path.read_text(encoding="utf-8"))


def _progress(tell: Callable[[str], None]) -> Progress:
    """A line for each tenth."""
    seen: set[int] = set()

    def progress(done: int, of: int) -> None:
        tenth = done * 10 // of
        if tenth not in seen:
            seen.add(tenth)
            tell(f"  backtest {tenth * 10} %")

    return progress


def _agreed(path: Path) -> bool:
    """Whether a person at a terminal says yes; nobody there is no."""
    if not sys.stdin.isatty():
        return False
    return input(f"Write {path}? [y/N] ").strip().lower() in ("y", "yes")


_COMMANDS = {
    "verify": "check configuration, reachability and permissions, and send a probe through; the first when in doubt",
    "summary": "what is monitored and who hears of it",
    "dashboards": "the dashboards and what stands on them",
    "tuning": "what the rules did, and the thresholds their values recommend",
    "apply": "apply a recommendation: shows its difference and backtest, and asks",
    "export": "write the three exported files",
    "check": "check a configuration file",
    "diff": "compare the configuration with a file, or two files",
    "cost": "what a month costs, and what would save most",
    "digest": "preview the daily digest",
}


_EXAMPLES = """examples:
  python -m shared.monitoring_setup                          the dashboard of what runs
  python -m shared.monitoring_setup verify                   what is wrong, and what to try
  python -m shared.monitoring_setup tuning --format html     what the rules did, as a page
  python -m shared.monitoring_setup apply RULE-ID --yes      what is recommended, into monitoring_config.json
  python -m shared.monitoring_setup COMMAND --help           what else a command takes
"""
_LEARNING = ("tuning", "apply", "export")
_IN_LINES = ("apply", "export", "diff")
"""These have one form only."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shared.monitoring_setup",
        description="\n\n".join((__doc__ or "").split("\n\n")[:-1]),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _place(parser, Path(".local"), "text")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in _COMMANDS.items()}
    for name, one in made.items():  # what is not said behind the command is as before it, or as always
        _place(one, argparse.SUPPRESS, None if name in _IN_LINES else argparse.SUPPRESS)
    for name in _LEARNING:
        made[name].add_argument("--hours", type=float, default=DEFAULT_HOURS, help="of minutes to learn from")
    for name in ("tuning", "apply"):
        made[name].add_argument(
            "--wanted", type=float, default=WANTED_PER_WEEK, help="alerts a week that are wanted at most"
        )
        made[name].add_argument(
            "--windows",
            type=Path,
            metavar="FILE",
            help='what was worth an alert: {"rule-id": [["first", "last"], ...]}',
        )
    made["apply"].add_argument("rule", help="a rule's id")
    made["apply"].add_argument("--set", default="", help="another setting than the recommended, as threshold=250")
    made["apply"].add_argument("--output", type=Path, default=Path("monitoring_config.json"), help="the file to write")
    made["apply"].add_argument("--yes", action="store_true", help="write without asking; both are shown all the same")
    made["export"].add_argument("--output", type=Path, default=Path("exports"), help="the folder to write to")
    made["check"].add_argument("file", type=Path, nargs="?", help="a configuration; without it, the one in use")
    made["diff"].add_argument("file", type=Path, help="what the configuration in use is compared with")
    made["diff"].add_argument("other", type=Path, nargs="?", help="what the file is compared with instead")
    made["verify"].add_argument("--no-probe", action="store_true", help="send nothing")
    return parser


def _place(parser: argparse.ArgumentParser, folder: object, form: str | None) -> None:
    if form is not None:
        parser.add_argument(
            "--format", choices=("text", "json", "markdown", "html"), default=form, help="default: text"
        )
    parser.add_argument("--folder", type=Path, default=folder, help="where local runs have databases: .local")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
