"""A generic webhook by the Standard Webhooks scheme: one POST of JSON a notification.

``webhook-id`` is the notification's id, the same for every attempt, so that the receiver drops repetitions: that is
the one conversation, and without it the worst case is every notification as often as it was tried. With a secret,
``webhook-signature`` is HMAC-SHA256 over id, time stamp and body, once for each secret while one replaces another.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

The address may lead to public hosts alone (``public_addresses``), whatever its name resolves to at the moment: nothing
inside the network, no metadata server. Redirects are never followed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from ..errors import ConfigError
from ..notifications import Notification
from ..timeline import iso
from . import Answer, Turn, digest
from .posting import Vendor, addresses
from .story import cut

NAME = "webhook"
MAX_BODY_BYTES = 20_000
"""As the scheme advises; what is beyond is left out, first of all the alerts named beside the first."""
_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def payload(notification: Notification, dashboard_url: str) -> bytes:
    """The body: UTF-8 JSON with ``type``, ``timestamp`` and the notification with a link to its dashboard."""
    told = notification
    for shorter in (told, replace(told, description=cut(told.description, 500)), _alone(told, 5), _alone(told, 0)):
        body = json.dumps(_body(shorter, dashboard_url), sort_keys=True).encode()
        if len(body) < MAX_BODY_BYTES:
            break
    return body


def _body(notification: Notification, dashboard_url: str) -> dict[str, Any]:
    return {
        "type": f"alert.{notification.kind.value}",
        "timestamp": iso(notification.at),
        "data": {**notification.to_dict(), "dashboard_url": dashboard_url},
    }


def _alone(told: Notification, named: int) -> Notification:
    left = len(told.also) - len(told.also[:named])
    return replace(told, also=told.also[:named], more=told.more + left, description=cut(told.description, 500))


def keys_of(secret: str) -> tuple[bytes, ...]:
    """The keys of ``whsec_...`` secrets, separated by spaces, the newest first. Raises ConfigError, quoting nothing."""
    return tuple(_key(one) for one in secret.split())


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise ConfigError("ION_WEBHOOK_SECRET: expected whsec_ and 24 to 64 bytes in base64")
    return key


def signatures(keys: Sequence[bytes], webhook_id: str, timestamp: str, body: bytes) -> str:
    """``v1,...`` for each key, separated by spaces."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys)


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """Posts to one URL, which is a secret, as the ``keys`` are: they are in no error and no log."""

    vendor: Vendor
    url: str = field(repr=False)
    dashboard_url: str
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    max_per_minute: int | None = 60

    @property
    def setup(self) -> str:
        """As the port says."""
        return digest(self.url, *(key.hex() for key in self.keys))

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Post one notification: 2xx is taken; 408, 425, 429, 5xx and network faults are tried again."""
        body = payload(notification, self.dashboard_url)
        headers = {"Content-Type": "application/json", "webhook-id": notification.id}
        headers["webhook-timestamp"] = _seconds(turn.now)
        if self.keys:
            headers["webhook-signature"] = signatures(self.keys, notification.id, headers["webhook-timestamp"], body)
        return Answer(self.vendor.accepted(self.vendor.ask(self.url, body, headers), turn.now))

    def undo(self, _notification: Notification, _late: Mapping[str, str], _turn: Turn, /) -> None:
        """Nothing: the receiver knows the id."""


def _seconds(instant: datetime) -> str:
    return str(int(instant.timestamp()))


def public_addresses(host: str, port: int) -> Sequence[str]:
    """The addresses of a host that is on the public internet. Raises OSError, and ValueError for every other host.

    All addresses of the name must be public, so that none is chosen by luck. A host that is literally this machine
    is let through: whoever writes 127.0.0.1 into the configuration means it, and names never lead there.
    """
    found = addresses(host, port)
    if host in _LOOPBACK_NAMES:
        return found
    for address in found:
        known = ip_address(address.partition("%")[0])
        if any(not one.is_global or one.is_multicast for one in (known, *_inner(known))):
            raise ValueError("an address that is not public")
    return found


def _inner(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return [one for one in (address.ipv4_mapped, address.sixtofour, nat64) if one is not None]
