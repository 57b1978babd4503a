"""Who may change something from the dashboard, and by which name it is kept.

Reading is guarded before a request arrives here, by IAM or by Identity-Aware Proxy. Changing is guarded here, too:

- ``iap``: by the operators alone, whom the signed assertion names; what a request says of itself counts for nothing;
- ``proxy``: by whoever may call the function, under the name they give. Operators cannot be named beside it
  (``config`` refuses them), because nothing tells them from the others; where they are, nobody may;
- ``public``: by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from .config import Access
from .errors import PermanentError
from .forms import REFUSED

Identify: TypeAlias = Callable[[str, datetime], str]
"""The e-mail address, in lower case, that an assertion vouches for at a time (aware UTC).

Raises PermanentError ``refused`` for one that is not to be believed, TransientError while that cannot be known.
"""


@dataclass(frozen=True, slots=True)
class Gate:
    """Nobody may change anything unless it is said who may."""

    access: Access = Access.PUBLIC
    operators: frozenset[str] = frozenset()
    """E-mail addresses in lower case."""
    identify: Identify | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is anybody who may change something."""
        match self.access:
            case Access.IAP:
                return bool(self.operators) and self.identify is not None
            case Access.PROXY:
                return not self.operators
            case _:
                return False

    def author(self, assertion: str, now: datetime) -> str:
        """Who changes something; empty where people say themselves who they are.

        Raises PermanentError ``refused``, and what ``Identify`` raises.
        """
        if not self.is_open:
            raise PermanentError(REFUSED, "Nothing can be changed here.")
        if self.access is not Access.IAP or self.identify is None:
            return ""
        email = self.identify(assertion, now)
        if email not in self.operators:
            raise PermanentError(REFUSED, "Only operators can change something; you are not named as one.")
        return email
