"""What a Google Cloud project says of itself: its functions, and who holds which role on what, by the REST interfaces.

Only reads. Signs in with application default credentials, on first use. A policy is asked for once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from ..errors import PermanentError, TransientError
from ..permissions import Binding, Deployed

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT_SECONDS = 10.0
_FORBIDDEN, _NOT_FOUND = (401, 403), 404

Call: TypeAlias = Callable[[str, str, Mapping[str, object] | None], tuple[int, str]]
"""A request by method, address and JSON body: its status and text. Raises ``MonitoringError`` without an answer."""


class CloudPolicies:
    """The policies of one project, as ``permissions.Policies``."""

    def __init__(self, project: str, call: Call | None = None) -> None:
        self._project = quote(project, safe=":")
        self._call = call or _signed_in()
        self._seen: dict[str, Sequence[Binding]] = {}

    def number(self) -> str:
        """As the port says."""
        found = self._asked("GET", f"https://cloudresourcemanager.googleapis.com/v3/projects/{self._project}")
        return str(found["name"]).rpartition("/")[2]

    def functions(self) -> Mapping[str, Deployed]:
        """As the port says."""
        address = f"https://cloudfunctions.googleapis.com/v2/projects/{self._project}/locations/-/functions"
        found: dict[str, Deployed] = {}
        token = ""
        while True:
            page = self._asked("GET", f"{address}?pageSize=1000" + (f"&pageToken={quote(token)}" if token else ""))
            for one in page.get("functions", ()):
                _, _, _, region, _, name = one["name"].split("/")
                account = one.get("serviceConfig", {}).get("serviceAccountEmail", "")
                found[name] = Deployed(account, one.get("state", "STATE_UNSPECIFIED"), region)
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def project(self) -> Sequence[Binding]:
        """As the port says."""
        address = f"https://cloudresourcemanager.googleapis.com/v3/projects/{self._project}:getIamPolicy"
        return self._policy("POST", address, {"options": {"requestedPolicyVersion": 3}})

    def of(self, kind: str, name: str, region: str) -> Sequence[Binding]:
        """As the port says."""
        parent, name = f"projects/{self._project}", quote(name, safe="@")
        method, place = {
            "topic": ("GET", f"pubsub.googleapis.com/v1/{parent}/topics/{name}"),
            "subscription": ("GET", f"pubsub.googleapis.com/v1/{parent}/subscriptions/{name}"),
            "secret": ("GET", f"secretmanager.googleapis.com/v1/{parent}/secrets/{name}"),
            "function": ("GET", f"run.googleapis.com/v2/{parent}/locations/{region}/services/{name}"),
            "service account": ("POST", f"iam.googleapis.com/v1/{parent}/serviceAccounts/{name}"),
        }[kind]
        return self._policy(method, f"https://{place}:getIamPolicy", {} if method == "POST" else None)

    def _policy(self, method: str, address: str, body: Mapping[str, object] | None) -> Sequence[Binding]:
        if address not in self._seen:
            found = self._asked(method, address, body).get("bindings", ())
            self._seen[address] = [
                Binding(one["role"], frozenset(one.get("members", ())), one.get("condition", {}).get("expression", ""))
                for one in found
            ]
        return self._seen[address]

    def _asked(self, method: str, address: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        status, text = self._call(method, address, body)
        if status in _FORBIDDEN:
            raise PermanentError("forbidden", "this account may not look at it")
        if status == _NOT_FOUND:
            raise PermanentError("not_found", "it is not there")
        if status != 200:
            raise TransientError("unavailable", f"answered {status}")
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise TransientError("unavailable", "answered with something else than JSON") from error
        return found


def _signed_in() -> Call:
    """Calls as application default credentials, which are looked for at the first."""
    sessions: list[Any] = []

    def call(method: str, address: str, body: Mapping[str, object] | None) -> tuple[int, str]:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession
        from requests.exceptions import RequestException

        try:
            if not sessions:
                credentials, _ = google.auth.default(scopes=[SCOPE])
                sessions.append(AuthorizedSession(credentials))  # type: ignore[no-untyped-call]  # as the library is
            answer = sessions[0].request(method, address, json=body, timeout=TIMEOUT_SECONDS)
        except (GoogleAuthError, RequestException, OSError) as error:
            raise TransientError("unavailable", type(error).__name__) from error
        return int(answer.status_code), str(answer.text)

    return call
