"""Channels to Google's services, without a network: a channel connects at its first call."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from shared.adapters.channels import OPTIONS, google_transport

TRANSPORTS: list[Any] = [FirestoreGrpcTransport, PublisherGrpcTransport, SubscriberGrpcTransport]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_of_google_opens_its_channel_with_our_options(transport: Any) -> None:
    """The options that bound the wait for a server are added to the library's own, and nothing else is changed."""
    seen: list[dict[str, Any]] = []

    class Seen(transport):  # type: ignore[misc]  # a class that is only known when the test runs
        @classmethod
        def create_channel(cls, host: str, **rest: Any) -> grpc.Channel:
            seen.append({"host": host, **rest})
            channel: grpc.Channel = transport.create_channel(host, **rest)
            return channel

    anonymous: Any = AnonymousCredentials
    for made in (Seen(credentials=anonymous()), google_transport(Seen)(credentials=anonymous())):
        made.close()
    theirs, ours = seen
    assert ours.pop("options") == [*theirs.pop("options"), *OPTIONS]
    assert ours.keys() == theirs.keys()
    assert ours["host"] == theirs["host"]
