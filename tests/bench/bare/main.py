"""Two functions that do the least: store a raw message in one document; answer, with the Firestore client in place."""

from __future__ import annotations

import base64

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request
from google.cloud import firestore

_clients: list[firestore.Client] = []


def _client() -> firestore.Client:
    if not _clients:
        _clients.append(firestore.Client())
    return _clients[0]


@functions_framework.cloud_event
def store_raw(event: CloudEvent) -> None:
    """Store a message's data under its id."""
    message = event.data["message"]
    _client().collection("raw").document(message["messageId"]).set({"data": base64.b64decode(message["data"])})


@functions_framework.http
def hello(_: Request) -> str:
    """Say hello, with a client."""
    return f"hello from {_client().project}"
