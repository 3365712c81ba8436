"""What a bearer token must be."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select

from tests.conftest import TestHub, unique
from tests.identity.conftest import Person, refusal
from worklore.identity.keys import HubKey, keyed_hash
from worklore.identity.roles import Role
from worklore.identity.token import CACHE_SECONDS, ApiToken, Authenticator, new_token
from worklore.kernel.access import SYSTEM


def key_of(hub: TestHub) -> HubKey:
    return hub.hub.gateway.authenticator.key


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def claims_of(person: Person, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": "worklore", "aud": "worklore-hub", "sub": str(person.id), "gen": 1, "iat": now, "nbf": now}
    claims |= {"exp": now + 600, "jti": str(uuid.uuid4())} | changed
    return {name: value for name, value in claims.items() if value is not None}


def signed(hub: TestHub, claims: dict[str, Any], **head: Any) -> str:
    """A token as the hub makes it, of these claims."""
    key = key_of(hub)
    made = {"typ": "at+jwt", "kid": key.key_id} | head
    return jwt.encode(claims, key.signing, algorithm="EdDSA", headers=made)


# --- signed tokens --------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(sqlite_hub: TestHub) -> TestHub:
    """SQLite alone for most of what follows: what is read from a database here is one row by its key."""
    return sqlite_hub


@pytest.fixture
def somebody(hub: TestHub) -> Person:
    email = f"{unique('person')}@example.com"
    return Person(hub, email, hub.token(Role.owner, email=email))


def test_the_signed_tokens_below_would_be_good(hub: TestHub, somebody: Person) -> None:
    assert hub.client(signed(hub, claims_of(somebody))).get("/me").json()["user"]["email"] == somebody.email


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"exp": 1_000_000_000}, "token-expired"),
        ({"exp": None}, "token-invalid"),
        ({"nbf": 4_000_000_000}, "token-invalid"),
        ({"iat": None}, "token-invalid"),
        ({"gen": None}, "token-invalid"),
        ({"gen": 0}, "token-invalid"),
        ({"gen": 2}, "token-invalid"),
        ({"gen": "1"}, "token-invalid"),
        ({"aud": "another-hub"}, "token-invalid"),
        ({"aud": None}, "token-invalid"),
        ({"iss": "another"}, "token-invalid"),
        ({"iss": None}, "token-invalid"),
        ({"sub": "nobody"}, "token-invalid"),
        ({"sub": 7}, "token-invalid"),
        ({"sub": str(uuid.UUID(int=7))}, "token-invalid"),
        ({"exp": "soon"}, "token-invalid"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_each_claim_is_checked(hub: TestHub, somebody: Person, changed: dict[str, Any], code: str) -> None:
    token = signed(hub, claims_of(somebody, **changed))
    answer = hub.client(token).get("/me")
    assert refusal(answer) == (401, code)
    assert token not in answer.text


FOREIGN = ("jku", "jwk", "x5u", "x5c", "crit")
ELSEWHERE = "https://keys.example.com/"


@pytest.mark.parametrize(
    "head",
    [{"typ": "JWT"}, {"kid": "another"}, {"typ": None}, *({name: ELSEWHERE} for name in FOREIGN)],
    ids=json.dumps,
)
def test_the_head_is_checked(hub: TestHub, somebody: Person, head: dict[str, Any]) -> None:
    assert refusal(hub.client(signed(hub, claims_of(somebody), **head)).get("/me")) == (401, "token-invalid")


def test_a_signature_of_anything_else_is_worth_nothing(hub: TestHub, somebody: Person) -> None:
    key, claims = key_of(hub), claims_of(somebody)
    head = {"typ": "at+jwt", "kid": key.key_id}
    good = signed(hub, claims)
    body = encoded(claims)

    def by_hmac(secret: bytes) -> str:
        text = f"{encoded(head | {'alg': 'HS256'})}.{body}"
        return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    public = key.verifying
    forged = {
        "another key": jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=head),
        "no algorithm": f"{encoded(head | {'alg': 'none'})}.{body}.",
        "no algorithm, spelt otherwise": f"{encoded(head | {'alg': 'nOnE'})}.{body}.",
        "the public key as a secret": by_hmac(public.public_bytes_raw()),
        "the public key's text as a secret": by_hmac(
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        ),
        "no signature": good.rpartition(".")[0] + ".",
        "half a signature": good[:-40],
        "cut off by a letter": good[:-1],
        "a letter more": good + "A",
        "another body": ".".join([good.split(".")[0], encoded(claims | {"gen": 1, "x": 1}), good.split(".")[2]]),
        "a key of its own": f"{encoded(head | {'alg': 'EdDSA', 'jwk': {'kty': 'OKP'}})}.{body}.{good.split('.')[2]}",
    }
    for what, token in forged.items():
        assert refusal(hub.client(token).get("/me")) == (401, "token-invalid"), what
    assert hub.client(good).get("/me").status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        "x",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        f"{encoded(b'null')}.{encoded(b'{}')}.",
        f"{encoded(b'[' * 9000)}.{encoded(b'{}')}.",
        f"{encoded({'alg': ['EdDSA'], 'typ': 'at+jwt'})}.{encoded(b'{}')}.",
        f"{encoded({'alg': 'EdDSA', 'kid': 7, 'typ': []})}.{encoded(b'{}')}.",
        "ä.ö.ü",
        "wl_",
        "wl_ä",
        "wl_" + "a" * 49,
        "x" * 16_000,
    ],
    ids=lambda token: token[:12],
)
def test_garbage_is_refused(hub: TestHub, token: str) -> None:
    answer = hub.client().get("/me", headers={"authorization": f"Bearer {token}".encode("latin-1")})
    assert refusal(answer) == (401, "token-invalid")
    assert len(token) < 13 or token not in answer.text


@pytest.mark.parametrize("head", ["", "Bearer", "Basic b3duZXI6b3duZXI=", "wl_abc"])
def test_without_a_bearer_token_nobody_is_let_in(hub: TestHub, head: str) -> None:
    assert refusal(hub.client().get("/me", headers={"authorization": head})) == (401, "token-missing")


# --- clocks ---------------------------------------------------------------------------------------------------------

HOUR = 3600


@pytest.mark.parametrize(
    ("apart", "code"), [(-HOUR, "token-expired"), (HOUR, "token-invalid"), (-20, None), (20, None)], ids=str
)
def test_a_node_whose_clock_is_an_hour_wrong_is_not_believed(
    hub: TestHub, somebody: Person, apart: int, code: str | None
) -> None:
    """What it has signed is over already, or not valid yet; a few seconds are forgiven."""
    now = int(time.time()) + apart
    token = signed(hub, claims_of(somebody, iat=now, nbf=now, exp=now + 600))
    answer = hub.client(token).get("/me")
    assert (answer.status_code, None) == (200, None) if code is None else refusal(answer) == (401, code)


def test_what_is_forgiven_to_a_clock_makes_no_token_last_longer(hub: TestHub, somebody: Person) -> None:
    ended = int(time.time()) - 2
    assert refusal(hub.client(signed(hub, claims_of(somebody, exp=ended))).get("/me")) == (401, "token-expired")


@pytest.mark.parametrize("apart", [-HOUR, HOUR], ids=str)
def test_a_clock_that_jumps_keeps_nothing_alive(
    hub: TestHub, somebody: Person, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """What is remembered of a token is forgotten after seconds by a clock that nobody sets."""
    keeper = Authenticator(key_of(hub))
    with hub.database.read(SYSTEM) as ctx:
        keeper.authenticate(ctx, somebody.token)
    assert keeper.cached(somebody.token) is not None
    wall, since = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: wall() + apart)
    assert keeper.cached(somebody.token) is not None
    monkeypatch.setattr(time, "monotonic", lambda: since() + CACHE_SECONDS)
    assert keeper.cached(somebody.token) is None


# --- API tokens -----------------------------------------------------------------------------------------------------


def test_an_api_token_must_be_whole_known_and_in_time(hub: TestHub, somebody: Person) -> None:
    token = somebody.token
    middle = "A" if token[20] != "A" else "B"
    for other in (token[:-1], token + "A", token[:20] + middle + token[21:], token.upper(), token[3:], new_token()):
        assert refusal(hub.client(other).get("/me")) == (401, "token-invalid")
    assert refusal(hub.client(hub.token(life=timedelta(seconds=-1))).get("/me")) == (401, "token-expired")
    assert somebody.api.get("/me").status_code == 200


def test_a_token_ends_while_it_is_remembered(hub: TestHub) -> None:
    client = hub.client(hub.token(life=timedelta(seconds=1)))
    assert client.get("/me").status_code == 200
    time.sleep(1.1)
    assert refusal(client.get("/me")) == (401, "token-expired")


def test_the_database_holds_no_token(hub: TestHub, somebody: Person) -> None:
    with hub.database.reading.connect() as connection:
        row = connection.execute(select(ApiToken).where(ApiToken.user_id == somebody.id)).one()
    assert row.token_hash == keyed_hash(key_of(hub), somebody.token)
    assert somebody.token not in str(tuple(row))
    [shown] = hub.owner().get("/api-tokens", params={"user_id": str(somebody.id)}).json()["items"]
    assert "token_hash" not in shown
    assert somebody.token.startswith(shown["hint"])
    assert len(shown["hint"]) < 10
