"""Calls of Google's services by their clients: how often they are tried, and what their failures are to us.

A failure is permanent when the same call would fail again (no such thing, a malformed or misplaced request) and
transient otherwise, refused credentials included: access takes minutes to spread, and nothing must be lost meanwhile.
The reason is the gRPC code's name, such as ``unavailable``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError

from ..errors import MonitoringError, PermanentError, TransientError

_WORTH_A_RETRY = if_exception_type(google_errors.ServiceUnavailable, google_errors.InternalServerError)
_LASTING = google_errors.NotFound | google_errors.InvalidArgument | google_errors.FailedPrecondition


def retries(deadline_seconds: float) -> Retry:
    """Retries of an unavailable server, all of them inside the deadline."""
    return Retry(_WORTH_A_RETRY, initial=0.1, maximum=2.0, multiplier=2.0, timeout=deadline_seconds)


@contextmanager
def translated(not_found: str = "not_found") -> Iterator[None]:
    """Raise the project's errors for Google's; ``not_found`` is the reason for a name that does not exist."""
    try:
        yield
    except google_errors.GoogleAPICallError as error:
        raise _from_call(error, not_found) from error
    except google_errors.RetryError as error:
        raise TransientError("deadline_exceeded", str(error.cause or error)) from error
    except GoogleAuthError as error:
        raise TransientError("unauthenticated", str(error)) from error


def _from_call(error: google_errors.GoogleAPICallError, not_found: str) -> MonitoringError:
    code = error.grpc_status_code
    reason = not_found if isinstance(error, google_errors.NotFound) else code.name.lower() if code else "unknown"
    kind = PermanentError if isinstance(error, _LASTING) else TransientError
    return kind(reason, str(error.message))
