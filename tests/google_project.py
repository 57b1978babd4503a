"""A Google Cloud project as its REST interfaces tell of it: functions, and the policies of what they work on.

It answers what the documentation of each interface says, to the addresses that stand there; everything else is 404.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from shared.grants import BUILD, EVERYBODY, PUBSUB_AGENT, Grant, grants
from shared.manifest import load_manifest

PROJECT, PREFIX, DATABASE, NUMBER, REGION = "my-project", "ion-", "monitoring", "123456789", "europe-west1"
_DATABASE_ONLY = f'resource.name == "projects/{PROJECT}/databases/{DATABASE}"'


class GoogleProject:
    """A deployment with every grant. ``held`` may be changed, ``functions`` too; ``refused`` parts answer 403."""

    def __init__(self) -> None:
        manifest = load_manifest()
        self.held: list[Grant] = [one for one in grants(manifest) if one.account != BUILD]
        self.functions = {name: {"state": "ACTIVE", "account": email(name)} for name in manifest.functions}
        self.refused: tuple[str, ...] = ()
        self.page_size = 3
        self.asked: list[str] = []

    def __call__(self, method: str, address: str, body: Mapping[str, object] | None) -> tuple[int, str]:
        """As ``cloud_policies.Call``."""
        self.asked.append(address)
        assert address.startswith("https://")
        host, _, path = address.removeprefix("https://").partition("/")
        if any(part in address for part in self.refused):
            return 403, "{}"
        answer = self._answer(method, host.removesuffix(".googleapis.com"), path, body)
        return (404, "{}") if answer is None else (200, json.dumps(answer))

    def _answer(self, method: str, host: str, path: str, body: Mapping[str, object] | None) -> object:
        parent = f"projects/{PROJECT}"
        asked = f"{method} {host}/{path}"
        if asked == f"GET cloudresourcemanager/v3/{parent}":
            return {"name": f"projects/{NUMBER}", "projectId": PROJECT, "state": "ACTIVE"}
        if asked == f"POST cloudresourcemanager/v3/{parent}:getIamPolicy":
            wanted = body == {"options": {"requestedPolicyVersion": 3}}  # without it conditions are not told
            return self._policy("project", "database") if wanted else None
        if asked.startswith(f"GET cloudfunctions/v2/{parent}/locations/-/functions?"):
            return self._page(int(asked.partition("&pageToken=")[2] or 0))
        for start, kind in {
            f"GET pubsub/v1/{parent}/topics/{PREFIX}": "topic",
            f"GET pubsub/v1/{parent}/subscriptions/{PREFIX}": "subscription",
            f"GET secretmanager/v1/{parent}/secrets/{PREFIX}": "secret",
            f"GET run/v2/{parent}/locations/{REGION}/services/{PREFIX}": "function",
            f"POST iam/v1/{parent}/serviceAccounts/{PREFIX}": "service account",
        }.items():
            if asked.startswith(start) and asked.endswith(":getIamPolicy"):
                name = asked.removeprefix(start).removesuffix(":getIamPolicy").partition("@")[0]
                return self._policy(f"{kind} {f'ION_{name}'.upper().replace('-', '_') if kind == 'secret' else name}")
        return None

    def _page(self, start: int) -> object:
        names = list(self.functions)[start : start + self.page_size]
        found = [
            {
                "name": f"projects/{PROJECT}/locations/{REGION}/functions/{PREFIX}{name}",
                "state": self.functions[name]["state"],
                "serviceConfig": {"serviceAccountEmail": self.functions[name]["account"]},
            }
            for name in names
        ]
        rest = start + self.page_size < len(self.functions)
        return {"functions": found, **({"nextPageToken": str(start + self.page_size)} if rest else {})}

    def _policy(self, *resources: str) -> object:
        bindings = []
        for one in self.held:
            if one.resource in resources:
                condition = {"condition": {"title": "one", "expression": _DATABASE_ONLY}}
                limited = condition if one.resource == "database" else {}
                bindings.append({"role": str(one.role), "members": [member(one.account)], **limited})
        return {"version": 3, "etag": "x", **({"bindings": bindings} if bindings else {})}


def email(account: str) -> str:
    """The address of an account of the deployment."""
    return f"{PREFIX}{account}@{PROJECT}.iam.gserviceaccount.com"


def member(account: str) -> str:
    """An account as policies name it."""
    if account == EVERYBODY:
        return EVERYBODY
    if account == PUBSUB_AGENT:
        return f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    return f"serviceAccount:{email(account)}"
