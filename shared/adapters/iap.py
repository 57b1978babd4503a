"""Who a request is from, by the assertion that Identity-Aware Proxy signs: ES256, for this one service, for minutes.

Its public keys are fetched when the first assertion comes, and again for one with a key that is not known, which is how
Google changes them; at most once in ``REFETCH_SECONDS``, whatever is sent.
https://cloud.google.com/iap/docs/signed-headers-howto
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from http.client import HTTPException
from threading import Lock
from typing import Any, TypeAlias
from urllib.request import urlopen

from google.auth.crypt import verify_signature
from google.auth.crypt.es import EsVerifier

from ..errors import PermanentError, TransientError
from ..forms import REFUSED
from ..logs import log

KEYS_URL = "https://www.gstatic.com/iap/verify/public_key"
ISSUER = "https://cloud.google.com/iap"
TIMEOUT_SECONDS = 3.0
REFETCH_SECONDS = 60.0
SKEW_SECONDS = 30
"""How far Google's clock and this one may be apart."""
MAX_ASSERTION_BYTES = 8192
_MAX_KEYS_BYTES = 1_000_000

Keys: TypeAlias = Mapping[str, str]
"""PEM public keys by id."""


def fetch_keys(url: str = KEYS_URL) -> Keys:
    """The keys at an address. Raises OSError, HTTPException or ValueError."""
    with urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the address is a constant; tests give their own
        found = json.loads(answer.read(_MAX_KEYS_BYTES))
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found.values()):
        raise ValueError("expected keys by id")
    return found


class IapAssertions:
    """``access.Identify`` for the service that ``audience`` names. Safe to share between threads."""

    def __init__(self, audience: str, fetch: Callable[[], Keys] = fetch_keys) -> None:
        self._audience = audience
        self._fetch = fetch
        self._keys: Keys = {}
        self._fetched_at: datetime | None = None
        self._lock = Lock()

    def __call__(self, assertion: str, now: datetime) -> str:
        """As the port says. What was wrong is in the log; the person is told only that it was."""
        try:
            return self._email(assertion, now)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            log("assertion_refused", "WARNING", reason=str(error)[:100] or type(error).__name__)
            raise PermanentError(REFUSED, "It could not be verified who you are: load the page again.") from error

    def _email(self, assertion: str, now: datetime) -> str:
        """Raises ValueError, TypeError, KeyError or RecursionError for what is not to be believed."""
        if not 0 < len(assertion) <= MAX_ASSERTION_BYTES or not assertion.isascii() or assertion.count(".") != 2:
            raise ValueError("no_assertion")
        signed, _, signature = assertion.rpartition(".")
        head, claims = (_decoded(part) for part in signed.split("."))
        if head.get("alg") != "ES256":
            raise ValueError("other_algorithm")
        key = self._key(str(head["kid"]), now)
        if not verify_signature(  # type: ignore[no-untyped-call] # the library leaves it unannotated
            signed.encode(), _bytes(signature), key, EsVerifier
        ):
            raise ValueError("forged")
        return _checked(claims, self._audience, now)

    def _key(self, kid: str, now: datetime) -> str:
        with self._lock:
            if kid not in self._keys and self._may_fetch(now):
                self._fetched_at = now
                try:
                    self._keys = self._fetch()
                except (OSError, HTTPException, ValueError) as error:
                    log("assertion_keys_unavailable", "ERROR", reason=type(error).__name__)
                    raise TransientError("assertion_keys_unavailable", type(error).__name__) from error
            if not self._keys:
                raise TransientError("assertion_keys_unavailable")
            if kid not in self._keys:
                raise ValueError("unknown_key")
            return self._keys[kid]

    def _may_fetch(self, now: datetime) -> bool:
        return self._fetched_at is None or (now - self._fetched_at).total_seconds() >= REFETCH_SECONDS


def _checked(claims: Mapping[str, Any], audience: str, now: datetime) -> str:
    """The address in signed claims. Raises ValueError, KeyError or TypeError."""
    at = now.timestamp()
    if claims["iss"] != ISSUER:
        raise ValueError("other_issuer")
    if claims["aud"] != audience:
        raise ValueError("other_audience")
    if not claims["iat"] - SKEW_SECONDS <= at:
        raise ValueError("not_yet_valid")
    if not at < claims["exp"] + SKEW_SECONDS:
        raise ValueError("expired")
    email = claims["email"]
    if not isinstance(email, str) or "@" not in email:
        raise ValueError("no_address")
    return email.lower()


def _decoded(part: str) -> dict[str, Any]:
    found = json.loads(_bytes(part))
    if not isinstance(found, dict):
        raise TypeError("malformed")
    return found


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("malformed") from error
