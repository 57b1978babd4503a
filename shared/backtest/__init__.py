"""Backtests: what rules would have done over minutes that are stored or recorded; ``docs/backtesting.md`` shows how.

The tick that judges live judges here, on the same cells, so nothing is approximated; what people said is left out, so
that a rule is seen as it is.
"""

from .run import Candidate, Recorded, Run, Source, Span, backtest

__all__ = ["Candidate", "Recorded", "Run", "Source", "Span", "backtest"]
