"""People of a hub: who they are, what they hold, and how they sign in."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conftest import TestHub, unique
from worklore.identity.roles import Role
from worklore.identity.user import User

PASSWORD = "correct horse battery"


@dataclass
class Person:
    """A user with an API token."""

    hub: TestHub
    email: str
    token: str

    @property
    def api(self) -> httpx2.Client:
        return self.hub.client(self.token)

    @property
    def id(self) -> uuid.UUID:
        with self.hub.database.reading.connect() as connection:
            return connection.execute(select(User.id).where(User.email == self.email)).scalar_one()

    def sign_in(self, password: str = PASSWORD, **given: Any) -> httpx2.Response:
        body = {"email": self.email, "password": password, **given}
        return self.hub.client().post("/auth/sign-in", json=body)

    def invited(self) -> str:
        """A code with which the person may choose a first password."""
        return str(self.hub.owner().post(f"/users/{self.id}/invite").raise_for_status().json()["code"])

    def join(self, password: str = PASSWORD) -> httpx2.Response:
        """Choose a first password."""
        return self.hub.client().post("/auth/join", json={"code": self.invited(), "password": password})

    def access_token(self) -> str:
        """A signed access token. The first one costs the person a password."""
        if self.sign_in().status_code != 200:
            self.join().raise_for_status()
        return str(self.sign_in().raise_for_status().json()["access_token"])

    @property
    def signed_in(self) -> httpx2.Client:
        """A client of the person's own, signed in just now."""
        return self.hub.client(self.access_token())


@pytest.fixture
def new_person(hub: TestHub) -> Any:
    def make(role: Role = Role.technician, **options: Any) -> Person:
        email = f"{unique('person')}@example.com"
        return Person(hub, email, hub.token(role, email=email, **options))

    return make


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a problem document, which names no token."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    assert {"type", "title", "detail", "request_id"} <= answer.json().keys()
    return answer.status_code, answer.json()["code"]
