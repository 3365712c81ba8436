"""No operation but the open ones answers whoever has no token that holds: every bad token, on every operation."""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.conformance.test_access import OPEN, operations
from tests.conftest import TestHub, unique
from tests.inprocess import Asked
from worklore.identity.keys import HubKey
from worklore.identity.roles import Role
from worklore.identity.token import AUDIENCE, ISSUER, LONGEST, access_token, new_token
from worklore.identity.user import User
from worklore.kernel.context import Context
from worklore.kernel.types import uuid7

PLACES = {"agent": "claude-code", "event": "SessionStart"}


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def by_hand(head: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token that no library would make."""
    text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{encoded(sign(text.encode()))}"


class Forger:
    """Knows all that is public of a hub's tokens, and a user whose id is right."""

    def __init__(self, key: HubKey, user: User) -> None:
        self.key = key
        now = int(time.time())
        self.head = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.key_id}
        self.claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user.id), "gen": user.generation}
        self.claims |= {"iat": now, "nbf": now, "exp": now + 600, "jti": str(uuid7())}

    def hs256(self, secret: bytes) -> str:
        """Signed with what is public, for a reader that goes by the token's own word for the algorithm."""
        return by_hand(
            self.head | {"alg": "HS256"}, self.claims, lambda text: hmac.digest(secret, text, hashlib.sha256)
        )

    def by_a_stranger(self, **head: Any) -> str:
        return jwt.encode(self.claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={**self.head, **head})

    def signed(self, *without: str, **claims: Any) -> str:
        """Signed by the hub's own key, and yet none of its access tokens."""
        said = {name: value for name, value in {**self.claims, **claims}.items() if name not in without}
        return jwt.encode(said, self.key.signing, algorithm="EdDSA", headers=self.head)

    def tokens(self) -> dict[str, str]:
        public = self.key.verifying
        raw, pem = public.public_bytes_raw(), public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        good = self.signed()
        head, body, signature = good.split(".")
        past = int(time.time()) - 5
        return {
            "alg none": by_hand(self.head | {"alg": "none"}, self.claims, lambda _: b""),
            "alg NONE, with a signature": by_hand(self.head | {"alg": "NONE"}, self.claims, lambda _: b"x" * 64),
            "HS256 with the public key": self.hs256(raw),
            "HS256 with the public key as PEM": self.hs256(pem),
            "HS256 with its base64": self.hs256(base64.b64encode(raw)),
            "another's key": self.by_a_stranger(),
            "a key that it names": self.by_a_stranger(jku="https://keys.example.com/jwks.json"),
            "a key that it brings": self.by_a_stranger(jwk={"kty": "OKP", "crv": "Ed25519", "x": encoded(bytes(32))}),
            "a key of another name": self.by_a_stranger(kid="../../dev/null"),
            "no signature": f"{head}.{body}.",
            "a part of the signature": f"{head}.{body}.{signature[:-4]}",
            "another body": f"{head}.{encoded(json.dumps(self.claims | {'gen': 99}).encode())}.{signature}",
            "expired": self.signed(exp=past),
            "not yet": self.signed(nbf=past + 900),
            "no end": self.signed("exp"),
            "another audience": self.signed(aud="https://elsewhere.example.com"),
            "another issuer": self.signed(iss="elsewhere"),
            "of nobody": self.signed(sub=str(uuid.uuid4())),
            "an older generation": self.signed(gen=self.claims["gen"] - 1),
            "no id": self.signed(sub="owner"),
            "an API token nobody has": new_token(),
            "an API token with a wrong checksum": f"{new_token()[:-1]}~",
            "ten kilobytes": "wl_" + "a" * 10_000,
            "ten kilobytes of JWT": f"{head}.{'e' * 10_000}.{signature}",
            "just too long": "wl_" + "a" * (LONGEST - 2),
            "text": "null",
        }


def headers_without_a_token(good: str) -> dict[str, dict[str, str]]:
    """What is no bearer token at all."""
    return {
        "nothing": {},
        "no token": {"authorization": "Bearer"},
        "an empty token": {"authorization": "Bearer "},
        "basic": {"authorization": "Basic b2s6b2s="},
        "another scheme": {"authorization": f"Token {good}"},
        "no scheme": {"authorization": good},
        "another header": {"x-api-key": good, "cookie": f"token={good}"},
    }


def somebody(hub: TestHub, *, stays: bool) -> tuple[User, str]:
    """A user of the role that may do everything, and an access token; gone by now unless one ``stays``."""
    key = hub.hub.gateway.authenticator.key

    def made(ctx: Context) -> tuple[User, str]:
        user = User(id=uuid7(), email=f"{unique('user')}@example.com", name="Somebody", role=Role.owner)
        ctx.session.add(user)
        ctx.session.flush()
        ctx.session.refresh(user)
        ctx.session.expunge(user)
        return user, access_token(key, user, timedelta(minutes=5))

    user, token = hub.database.write(made)
    if not stays:
        hub.database.write(lambda ctx: ctx.session.delete(ctx.session.get_one(User, user.id)))
    return user, token


def asked(method: str, path: str, headers: dict[str, str]) -> Asked:
    place = re.sub(r"{(\w+)}", lambda match: PLACES.get(match[1]) or str(uuid.uuid4()), path)
    return Asked(method, place, headers, None if method == "GET" else {"name": "x"})


def test_a_token_that_does_not_hold_opens_nothing(sqlite_hub: TestHub) -> None:
    hub = sqlite_hub
    user, good = somebody(hub, stays=True)
    bad = Forger(hub.hub.gateway.authenticator.key, user).tokens() | {
        "of a deleted user": somebody(hub, stays=False)[1]
    }
    table = headers_without_a_token(good) | {name: {"authorization": f"Bearer {token}"} for name, token in bad.items()}
    closed = [(method, path) for method, path, _ in operations() if (method, path) not in OPEN]
    assert len(closed) > 400
    for name, headers in table.items():
        answers = hub.in_process([asked(method, path, headers) for method, path in closed])
        for (method, path), answer in zip(closed, answers, strict=True):
            cell = (name, method, path, answer.status, answer.text[:200])
            assert answer.status == 401, cell
            assert answer.headers["content-type"] == "application/problem+json", cell
            assert answer.headers["www-authenticate"] == "Bearer", cell
            assert answer.json()["code"] in {"token-missing", "token-invalid", "token-expired"}, cell
            assert not answer.body_read, cell
    assert hub.client(good).get("/me").status_code == 200, "the token that the others are made of does hold"


def test_a_token_in_the_address_opens_nothing(sqlite_hub: TestHub) -> None:
    good = sqlite_hub.token()
    for query in (f"access_token={good}", f"token={good}", f"authorization=Bearer%20{good}"):
        [answer] = sqlite_hub.in_process([Asked("GET", f"/api/v1/clients?{query}")])
        assert answer.status == 401


def test_the_open_operations_are_open_and_no_other(sqlite_hub: TestHub) -> None:
    every = {(method, path) for method, path, _ in operations()}
    assert every >= OPEN
    for method, path in OPEN:
        [answer] = sqlite_hub.in_process([asked(method, path, {})])
        assert answer.status in {200, 422}, path
