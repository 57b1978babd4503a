"""What is exported, and read back to the same: the configuration, the recommendations and the dashboards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .alert_tuning import AlertTuningReport
from .configuration.document import parse_json
from .errors import ConfigError
from .monitoring_config import MonitoringConfig

CONFIGURATION = "monitoring_config.json"
RECOMMENDATIONS = "alert_tuning_recommendations.json"
DASHBOARDS = "dashboard_definitions.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """What the three files hold."""

    configuration: MonitoringConfig
    recommendations: AlertTuningReport

    def files(self) -> dict[str, str]:
        """Each file's text by its name; ``imported`` makes an equal value of them."""
        dashboards = {"version": 1, "dashboards": self.configuration.to_dict()["dashboards"]}
        return {
            CONFIGURATION: self.configuration.to_json(),
            RECOMMENDATIONS: self.recommendations.to_json(),
            DASHBOARDS: json.dumps(dashboards, indent=2, ensure_ascii=False) + "\n",
        }


def imported(files: Mapping[str, str]) -> Exported:
    """What some files hold. The dashboards are those of their own file where it is there.

    Raises ``ConfigError`` for a file that is missing, but for the dashboards', or that is not what it should be.
    """
    for name in (CONFIGURATION, RECOMMENDATIONS):
        if name not in files:
            raise ConfigError(f"{name}: missing")
    config = MonitoringConfig.from_json(files[CONFIGURATION])
    if DASHBOARDS in files:
        plain = parse_json(files[DASHBOARDS])
        if not isinstance(plain, dict) or plain.get("version") != 1 or "dashboards" not in plain:
            raise ConfigError(f"{DASHBOARDS}: expected version 1 and dashboards")
        config = MonitoringConfig.from_dict({**config.to_dict(), "dashboards": plain["dashboards"]})
    return Exported(config, AlertTuningReport.from_json(files[RECOMMENDATIONS]))
