"""The panel model: what a page says, before any format. Every format renders this and nothing else.

Values are plain floats in the unit named beside them (None: there is no value), instants are aware UTC. A model
holds no markup; every string in it may be hostile and is escaped by the renderer of each format.
"""

from .charts import Heat, Line, LineChart, Mark, Multiples, Small, Span, Style
from .pages import Board, Deeds, Endings, Headline, Health, Overview, Page, Panel, Shown, Tab
from .rows import AlertRow, Cell, Fact, InboxEntry, Row, Share, Signal, Strip, Strips, Table
from .statuses import KEPT_LINES, KEPT_ROWS, SHOWN_ALERTS, SHOWN_LINES, SHOWN_ROWS, STALE_AFTER, Limit, Status

__all__ = [
    "KEPT_LINES",
    "KEPT_ROWS",
    "SHOWN_ALERTS",
    "SHOWN_LINES",
    "SHOWN_ROWS",
    "STALE_AFTER",
    "AlertRow",
    "Board",
    "Cell",
    "Deeds",
    "Endings",
    "Fact",
    "Headline",
    "Health",
    "Heat",
    "InboxEntry",
    "Limit",
    "Line",
    "LineChart",
    "Mark",
    "Multiples",
    "Overview",
    "Page",
    "Panel",
    "Row",
    "Share",
    "Shown",
    "Signal",
    "Small",
    "Span",
    "Status",
    "Strip",
    "Strips",
    "Style",
    "Tab",
    "Table",
]
