"""What a password may be, however it is typed."""

import unicodedata
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from sqlalchemy import select, update

from tests.conftest import TestHub
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity.password import is_outdated, require_good, verify_password
from worklore.identity.user import User
from worklore.kernel.errors import InvalidError

EMAIL = "kim.novak@example.com"


@pytest.mark.parametrize(
    "password",
    [
        "eleven char",
        "kim.novak@example.com",
        "My KIM.NOVAK@example.com 1",
        "kim.novak is my name",
        "aaaaaaaaaaaaa",
        "abcabcabcabca",
        "hunter2hunter2hunter2",
        "passwordpassword",
        "123456789012345",
        "zyxwvutsrqponm",
        "Qwertyuiopasdfgh",
        "qwertzuiopasdfgh",
        "90123456789012",
        "ﷺ",
    ],
)
def test_what_is_easy_to_guess_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(InvalidError) as refused:
        require_good(SecretStr(password), EMAIL)
    assert password not in str(refused.value.problem())
    assert refused.value.members["field"] == "password"


@pytest.mark.parametrize(
    "password",
    [PASSWORD, PASSWORD * 2, "correct horse battery staple", "Größe 日本語 🛠️ und mehr", "a1" * 3 + "Xy9!uU0?"],
)
def test_what_is_hard_to_guess_is_good(password: str) -> None:
    require_good(SecretStr(password), EMAIL)
    require_good(SecretStr(password), "bo@example.com")


def test_a_password_is_the_same_however_its_letters_are_written(new_person: Any) -> None:
    person: Person = new_person()
    composed, taken_apart = (unicodedata.normalize(form, "Grüße aus Wien № 5") for form in ("NFC", "NFD"))
    assert composed != taken_apart
    person.join(taken_apart).raise_for_status()
    for typed in (composed, taken_apart, "Grüße aus Wien No 5"):
        assert person.sign_in(typed).status_code == 200
    assert person.sign_in("Gruße aus Wien No 5").status_code == 401


def test_a_hash_from_before_passwords_were_normalised_works_and_is_made_anew(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    typed = unicodedata.normalize("NFD", "Grüße aus Wien")
    former = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(typed)
    assert is_outdated(former, typed)
    with hub.database.writing.begin() as connection:
        connection.execute(update(User).where(User.email == person.email).values(password_hash=former))
    assert person.sign_in(typed).status_code == 200
    with hub.database.reading.connect() as connection:
        stored = connection.scalar(select(User.password_hash).where(User.email == person.email))
    assert stored != former
    assert verify_password(stored, unicodedata.normalize("NFC", typed))
    assert not is_outdated(stored, typed)


def test_only_who_has_signed_in_changes_a_password(hub: TestHub, new_person: Any, machine_api: Any) -> None:
    person: Person = new_person()
    client, body = person.signed_in, {"password": "a staple that is correct", "current": PASSWORD}
    for token in (person.api, machine_api):
        assert refusal(token.post("/auth/password", json=body)) == (403, "person-needed")
    for weak in (f"I am {person.email}", "x" * 12):
        assert refusal(client.post("/auth/password", json=body | {"password": weak})) == (422, "invalid")
    assert person.sign_in().status_code == 200


def test_wrong_passwords_of_one_signed_in_count_too(new_person: Any) -> None:
    person: Person = new_person()
    client = person.signed_in
    person.sign_in().raise_for_status()
    body = {"password": "a staple that is correct", "current": "incorrect horse battery"}
    for _ in range(5):
        assert refusal(client.post("/auth/password", json=body)) == (401, "sign-in-refused")
    assert refusal(client.post("/auth/password", json=body | {"current": PASSWORD})) == (429, "too-many-requests")
    assert refusal(person.sign_in()) == (429, "too-many-requests")
