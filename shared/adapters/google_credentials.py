"""Tokens by ``google-auth``: a service account's key, or the login of ``gcloud auth application-default``."""

from __future__ import annotations

import google.auth
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from ..errors import TransientError
from .pubsub_http import SCOPE, Token

_LIVES_SECONDS = 600.0
"""Google's tokens live an hour; asking again sooner is cheap, for the library keeps a token that is good."""


class GoogleCredentials:
    """Application default credentials. Asks for nothing before the first token."""

    def token(self) -> Token:
        """As the port says."""
        try:
            credentials, _ = google.auth.default(scopes=[SCOPE])
            credentials.refresh(Request())  # type: ignore[no-untyped-call] # the library leaves it unannotated
        except (GoogleAuthError, OSError) as error:
            raise TransientError("no_credentials", repr(error)) from error
        return Token(str(credentials.token), _LIVES_SECONDS)
