"""gRPC channels that find a server soon after it was away.

Left alone, a channel waits up to two minutes between two attempts to connect, and channels to one server share one
connection, so that another channel is no way out of a connection that has gone silent. These wait two seconds at
most, and each has a connection of its own. https://grpc.github.io/grpc/core/group__grpc__arg__keys.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import grpc

Option: TypeAlias = tuple[str, int]

OPTIONS: tuple[Option, ...] = (
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),
)
_ANY_SIZE: tuple[Option, ...] = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""gRPC itself refuses to receive more than 4 MiB, less than one message of Pub/Sub may hold."""


def emulator_channel(host: str) -> grpc.Channel:
    """A channel to an emulator at ``host:port``; the first call connects."""
    return grpc.insecure_channel(host, options=(*_ANY_SIZE, *OPTIONS))


def google_transport(transport: Any) -> Callable[..., Any]:
    """A client's transport class (a ``...GrpcTransport``) as one with such a channel: what ``transport=`` takes."""
    return partial(transport, channel=partial(_create, transport.create_channel))


def _create(create: Callable[..., grpc.Channel], host: str, *, options: Sequence[Option], **rest: Any) -> grpc.Channel:
    """Called by the transport, as its own ``create_channel`` would be."""
    return create(host, options=[*options, *OPTIONS], **rest)
