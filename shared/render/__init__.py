"""The formats of a page: each renders the one panel model and decides nothing about it.

HTML is in ``render.html``, which alone needs Jinja2.
"""

from __future__ import annotations

from .csv_page import render_csv
from .json_page import render_json
from .markdown import render_markdown
from .text import render_text

__all__ = ["render_csv", "render_json", "render_markdown", "render_text"]
