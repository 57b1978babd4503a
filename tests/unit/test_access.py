"""Who may change something under each access, and which assertions are believed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shared.access import Gate
from shared.adapters.iap import ISSUER, IapAssertions, Keys, fetch_keys
from shared.config import Access, Config
from shared.dashboard import DashboardPages, PageRequest, PageResponse
from shared.errors import PermanentError, TransientError
from tests.pages import world
from tests.unit.test_deeds import PATH, acks, form, sent, silences, slow_world
from tests.world import World

AUDIENCE = "/projects/1/locations/us-central1/services/ion-dashboard-iap"
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
NOW = world().clock()
OPERATORS = frozenset({"ana@example.com"})


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A public key as Google publishes it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def packed(content: bytes) -> str:
    """Base64 for addresses, without its padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def assertion(
    now: datetime = NOW, key: ec.EllipticCurvePrivateKey = KEY, head: dict[str, Any] | None = None, **claims: Any
) -> str:
    """What IAP signs for Ana; a claim that is None is left out."""
    at = int(now.timestamp())
    said = {"iss": ISSUER, "aud": AUDIENCE, "iat": at, "exp": at + 600, "email": "Ana@example.com", "sub": "1"} | claims
    header = {"alg": "ES256", "typ": "JWT", "kid": "k1"} | (head or {})
    content = {name: value for name, value in said.items() if value is not None}
    signed = f"{packed(json.dumps(header).encode())}.{packed(json.dumps(content).encode())}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{packed(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class KeyServer:
    """Google's keys: counts how often they are asked for; an error in their place is raised."""

    def __init__(self, *answers: Keys | Exception) -> None:
        self.answers = list(answers) or [{"k1": pem(KEY)}]
        self.asked = 0

    def __call__(self) -> Keys:
        """The next answer; the last one for ever."""
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def pages(running: World, gate: Gate) -> DashboardPages:
    """A dashboard behind a gate."""
    services = running.services
    return DashboardPages(services.config, services.reader, services.now, gate=gate)


def behind_iap(running: World, keys: KeyServer | None = None) -> DashboardPages:
    """A dashboard behind IAP whose one operator is Ana."""
    return pages(running, Gate(Access.IAP, OPERATORS, IapAssertions(AUDIENCE, keys or KeyServer())))


def post(shown: DashboardPages, running: World, deed: str, vouched: str, **changed: str) -> PageResponse:
    """Send what the page's form sends."""
    return shown(PageRequest(f"{PATH}/{deed}", "POST", sent=sent(form(running, **changed)), assertion=vouched))


@pytest.fixture(scope="module")
def untouched() -> World:
    """A deployment in which an alert fires and nothing may change."""
    return slow_world()


class TestAssertions:
    """Which assertions are believed."""

    def test_a_good_one(self) -> None:
        """The address is the signed one, in lower case; the keys are fetched once for all of them."""
        keys = KeyServer()
        identify = IapAssertions(AUDIENCE, keys)
        assert identify(assertion(), NOW) == identify(assertion(sub="2"), NOW) == "ana@example.com"
        assert keys.asked == 1

    @pytest.mark.parametrize("seconds", [-20, 0, 599, 620])
    def test_clocks_may_differ(self, seconds: int) -> None:
        """Half a minute before and after its time an assertion is still good."""
        assert IapAssertions(AUDIENCE, KeyServer())(assertion(), NOW + timedelta(seconds=seconds))

    @pytest.mark.parametrize(
        ("bad", "seconds"),
        [
            pytest.param(assertion(key=OTHER_KEY), 0, id="forged"),
            pytest.param(assertion(), 640, id="expired"),
            pytest.param(assertion(), -40, id="of the future"),
            pytest.param(assertion(aud="/projects/1/locations/us-central1/services/other"), 0, id="other audience"),
            pytest.param(assertion(aud=None), 0, id="no audience"),
            pytest.param(assertion(aud=[AUDIENCE]), 0, id="audience of another form"),
            pytest.param(assertion(iss="https://evil.example"), 0, id="other issuer"),
            pytest.param(assertion(iss=None), 0, id="no issuer"),
            pytest.param(assertion(exp=None), 0, id="no end"),
            pytest.param(assertion(exp="never"), 0, id="end of another form"),
            pytest.param(assertion(iat=None), 0, id="no beginning"),
            pytest.param(assertion(email=None), 0, id="no address"),
            pytest.param(assertion(email=["ana@example.com"]), 0, id="address of another form"),
            pytest.param(assertion(email=""), 0, id="empty address"),
            pytest.param(assertion(head={"alg": "none"}), 0, id="no algorithm"),
            pytest.param(assertion(head={"alg": "HS256"}), 0, id="symmetric algorithm"),
            pytest.param(assertion(head={"kid": "k9"}), 0, id="unknown key"),
            pytest.param(assertion(head={"kid": None}), 0, id="no key"),
            pytest.param(assertion().rpartition(".")[0] + ".", 0, id="no signature"),
            pytest.param(assertion()[:-4] + "AAAA", 0, id="another signature"),
            pytest.param(assertion().replace(".", ".e30.", 1), 0, id="four parts"),
            pytest.param("e30.e30.e30", 0, id="empty parts"),
            pytest.param("bnVsbA.bnVsbA.AA", 0, id="no objects"),
            pytest.param(f"{packed(b'[' * 5000)}.e30.AA", 0, id="deep"),
            pytest.param("\ud800.é.x", 0, id="no ASCII"),
            pytest.param("", 0, id="none"),
            pytest.param("x" * 9000, 0, id="long"),
            pytest.param("ana@example.com", 0, id="a bare name"),
        ],
    )
    def test_bad_ones(self, bad: str, seconds: int) -> None:
        """Whatever is not signed by Google for this service at this time is refused."""
        with pytest.raises(PermanentError) as error:
            IapAssertions(AUDIENCE, KeyServer())(bad, NOW + timedelta(seconds=seconds))
        assert error.value.reason == "refused"

    def test_claims_of_one_and_signature_of_another(self) -> None:
        """Claims that were changed under a good signature are refused."""
        head, _, signature = assertion().split(".")
        _, claims, _ = assertion(email="eve@example.com").split(".")
        with pytest.raises(PermanentError):
            IapAssertions(AUDIENCE, KeyServer())(f"{head}.{claims}.{signature}", NOW)

    def test_new_keys(self) -> None:
        """A key that is not known is asked for, and however many such come, once a minute."""
        keys = KeyServer({"k1": pem(KEY)}, {"k2": pem(OTHER_KEY)})
        identify = IapAssertions(AUDIENCE, keys)
        new = assertion(key=OTHER_KEY, head={"kid": "k2"})
        identify(assertion(), NOW)
        for seconds in range(0, 59, 10):
            with pytest.raises(PermanentError):
                identify(new, NOW + timedelta(seconds=seconds))
        assert keys.asked == 1
        assert identify(new, NOW + timedelta(seconds=60)) == "ana@example.com"
        assert keys.asked == 2

    def test_no_keys(self) -> None:
        """While keys cannot be fetched nobody is known or refused; a minute later they are asked for again."""
        keys = KeyServer(OSError(), {"k1": pem(KEY)})
        identify = IapAssertions(AUDIENCE, keys)
        for seconds in (0, 30):
            with pytest.raises(TransientError):
                identify(assertion(), NOW + timedelta(seconds=seconds))
        assert identify(assertion(), NOW + timedelta(seconds=60)) == "ana@example.com"

    def test_old_keys_stay(self) -> None:
        """A failure to fetch new keys does not take the known ones away."""
        keys = KeyServer({"k1": pem(KEY)}, OSError())
        identify = IapAssertions(AUDIENCE, keys)
        identify(assertion(), NOW)
        later = NOW + timedelta(seconds=90)
        with pytest.raises(TransientError):
            identify(assertion(head={"kid": "k2"}), later)
        assert identify(assertion(), later) == "ana@example.com"


@contextmanager
def key_server(status: int, body: bytes) -> Iterator[str]:
    """A server that answers so; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


class TestKeys:
    """Keys over HTTP."""

    def test_as_google_publishes_them(self) -> None:
        """They are PEM by id, and verify what was signed."""
        with key_server(200, json.dumps({"k1": pem(KEY)}).encode()) as url:
            identify = IapAssertions(AUDIENCE, lambda: fetch_keys(url))
            assert identify(assertion(), NOW) == "ana@example.com"

    @pytest.mark.parametrize(
        ("status", "body"), [(500, b"{}"), (404, b""), (200, b"<html>"), (200, b'["k1"]'), (200, b'{"k1": {}}')]
    )
    def test_anything_else(self, status: int, body: bytes) -> None:
        """An answer that holds no keys is one to ask for again."""
        with key_server(status, body) as url, pytest.raises(TransientError):
            IapAssertions(AUDIENCE, lambda: fetch_keys(url))(assertion(), NOW)


class TestIap:
    """Changing something behind IAP."""

    def test_the_author_is_the_verified_one(self) -> None:
        """What an operator does is kept under the signed address, whatever name the form gives; no name is asked."""
        running = slow_world()
        shown, now = behind_iap(running), running.clock()
        document = shown(PageRequest(PATH, accept="text/html", assertion=assertion(now))).body.decode()
        assert "As <b>ana@example.com</b>" in document
        assert 'name="author"' not in document
        for deed in ("acknowledge", "silence"):
            assert post(shown, running, deed, assertion(now), author="Eve").status == 303
        assert acks(running) == ["ana@example.com"]
        assert [one["author"] for one in silences(running)] == ["ana@example.com"]

    @pytest.mark.parametrize(
        ("claims", "seconds", "key"),
        [
            pytest.param({"email": "viewer@example.com"}, 0, KEY, id="a viewer"),
            pytest.param({"email": "ana@example.com.evil.example"}, 0, KEY, id="nearly an operator"),
            pytest.param({}, 0, OTHER_KEY, id="forged"),
            pytest.param({}, -3600, KEY, id="expired"),
            pytest.param({"aud": "/projects/2/locations/us-central1/services/x"}, 0, KEY, id="for another service"),
        ],
    )
    @pytest.mark.parametrize("deed", ["acknowledge", "silence"])
    def test_others(
        self, untouched: World, deed: str, claims: dict[str, Any], seconds: int, key: ec.EllipticCurvePrivateKey
    ) -> None:
        """Everybody else reads the page without forms, and what they send is refused."""
        vouched = assertion(untouched.clock() + timedelta(seconds=seconds), key, **claims)
        shown = behind_iap(untouched)
        assert post(shown, untouched, deed, vouched, author="ana@example.com").status == 403
        answer = shown(PageRequest(PATH, accept="text/html", assertion=vouched))
        assert answer.status == 200
        assert b"<form" not in answer.body
        assert "Set-Cookie" not in answer.headers
        assert (acks(untouched), silences(untouched)) == ([], [])

    def test_an_operator_from_elsewhere(self, untouched: World) -> None:
        """An operator's assertion does not replace the same origin and the token."""
        vouched = assertion(untouched.clock())
        for what in (sent(form(untouched), fetch_site="cross-site"), sent(form(untouched, token="x" * 43))):
            request = PageRequest(f"{PATH}/acknowledge", "POST", sent=what, assertion=vouched)
            assert behind_iap(untouched)(request).status == 403
        assert acks(untouched) == []

    def test_without_keys(self, untouched: World) -> None:
        """While nobody can be known the page is there to read, and a change is to be sent again."""
        shown = behind_iap(untouched, KeyServer(OSError()))
        vouched = assertion(untouched.clock())
        assert shown(PageRequest(PATH, accept="text/html", assertion=vouched)).status == 200
        assert post(shown, untouched, "acknowledge", vouched).status == 503
        assert acks(untouched) == []

    def test_nobody_is_an_operator(self, untouched: World) -> None:
        """Without operators nothing can be changed."""
        shown = pages(untouched, Gate(Access.IAP, frozenset(), IapAssertions(AUDIENCE, KeyServer())))
        assert post(shown, untouched, "acknowledge", assertion(untouched.clock())).status == 405


class TestOthers:
    """Changing something without IAP."""

    def test_proxy(self) -> None:
        """Whoever may call the function changes something under the name they give."""
        running = slow_world()
        assert post(pages(running, Gate(Access.PROXY)), running, "acknowledge", "").status == 303
        assert acks(running) == ["Maria"]

    @pytest.mark.parametrize(
        "gate",
        [
            pytest.param(Gate(), id="nothing said"),
            pytest.param(Gate(Access.PUBLIC), id="public"),
            pytest.param(Gate(Access.PUBLIC, OPERATORS, IapAssertions(AUDIENCE, KeyServer())), id="public, all set"),
            pytest.param(Gate(Access.PROXY, OPERATORS), id="proxy with operators, who cannot be told from others"),
            pytest.param(Gate(Access.IAP, OPERATORS), id="nobody can be known"),
        ],
    )
    @pytest.mark.parametrize("deed", ["acknowledge", "silence"])
    def test_nothing_can_be_changed(self, untouched: World, deed: str, gate: Gate) -> None:
        """No form, no token, and whatever is sent, with a good assertion too, changes nothing."""
        shown, vouched = pages(untouched, gate), assertion(untouched.clock())
        assert post(shown, untouched, deed, vouched).status == 405
        answer = shown(PageRequest(PATH, accept="text/html", assertion=vouched))
        assert b"<form" not in answer.body
        assert "Set-Cookie" not in answer.headers
        with pytest.raises(PermanentError):
            gate.author(vouched, untouched.clock())
        assert (acks(untouched), silences(untouched)) == ([], [])

    @pytest.mark.parametrize(
        ("config", "status"),
        [
            (Config("ion-test"), 405),
            (Config("ion-test", dashboard_access=Access.PUBLIC, operators=OPERATORS), 405),
            (Config("ion-test", dashboard_access=Access.PROXY, operators=OPERATORS), 405),
            (Config("ion-test", dashboard_access=Access.IAP, iap_audience=AUDIENCE, operators=OPERATORS), 403),
        ],
    )
    def test_a_deployment(self, untouched: World, config: Config, status: int) -> None:
        """The environment says who may; a deployment is not taken for a local run."""
        services = replace(untouched.services, settings=config)
        assert post(services.dashboard(), untouched, "acknowledge", "").status == status
        assert acks(untouched) == []
