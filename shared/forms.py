"""Which requests may change something: sent from a page of this very site, with the token that the page was given.

A browser says where a request comes from (``Sec-Fetch-Site``, or ``Origin``), which no other site can make it say
wrongly; and a token stands both in a cookie and in the form, which no other site can read. Both must hold. Whoever
sends neither header, as a program may, is refused.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .errors import PermanentError

COOKIE = "ion_token"
TOKEN_BYTES = 32
REFUSED = "refused"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a POST brings: its form, its cookies, and what the browser says of where it comes from."""

    form: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    origin: str | None = None
    fetch_site: str | None = None


def check_sent(sent: Sent) -> None:
    """Raise PermanentError ``refused`` unless it comes from this site's own page with the token it was given."""
    if not _is_same_origin(sent):
        raise PermanentError(REFUSED, "This was not sent from a page of this site.")
    cookie, token = sent.cookies.get(COOKIE, ""), sent.form.get("token", "")
    if not is_token(cookie) or not hmac.compare_digest(cookie.encode(), token.encode("utf-8", "replace")):
        raise PermanentError(REFUSED, "The page is too old for this: load it again, then send.")


def is_token(text: str) -> bool:
    """Whether a cookie can be one that was given here."""
    return _TOKEN.fullmatch(text) is not None


def cookie_header(token: str) -> str:
    """What gives a browser its token: for this site's own requests alone, and out of any script's reach."""
    return f"{COOKIE}={token}; Path=/; SameSite=Strict; HttpOnly"


def _is_same_origin(sent: Sent) -> bool:
    if sent.fetch_site is not None:
        return sent.fetch_site == "same-origin"
    if not sent.origin or not sent.host:
        return False
    origin = urlsplit(sent.origin)
    return origin.scheme in ("http", "https") and origin.netloc.lower() == sent.host.lower()
