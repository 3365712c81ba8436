"""Text of a form: what is taken, what is refused, and that the refusal says what is wanted."""

from typing import Annotated

import pytest
from pydantic import AfterValidator, TypeAdapter, ValidationError

from worklore.kernel.forms import of_form

TAKEN = [
    ("ip", "192.0.2.10"),
    ("ip", "2001:db8::1"),
    ("cidr", "192.0.2.0/24"),
    ("cidr", "192.0.2.17/24"),
    ("cidr", "2001:db8::/32"),
    ("mac", "00:00:5e:00:53:01"),
    ("mac", "00-00-5E-00-53-01"),
    ("email", "somebody@example.com"),
    ("url", "https://example.com:8443/path?q=1"),
    ("url", "https://192.0.2.10/"),
    ("hostname", "srv-01"),
    ("hostname", "srv-01.example.com."),
    ("commit", "0123456789abcdef0123456789abcdef01234567"),
    ("quarter", "2026-Q4"),
    ("cron", "30 2 * * 1-5"),
]
REFUSED = [
    ("ip", "192.0.2.256"),
    ("ip", "192.0.2.0/24"),
    ("cidr", "192.0.2.0"),
    ("cidr", "192.0.2.0/33"),
    ("mac", "00:00:5e:00:53"),
    ("email", "somebody@"),
    ("email", "somebody"),
    ("url", "example.com"),
    ("url", "file:///etc/hosts"),
    ("hostname", "-srv"),
    ("hostname", "srv..example.com"),
    ("hostname", "a" * 64),
    ("commit", "0123456789ABCDEF0123456789abcdef01234567"),
    ("commit", "0123456"),
    ("quarter", "2026-Q5"),
    ("cron", "61 2 * * *"),
    ("cron", "every day"),
]


@pytest.mark.parametrize(("form", "text"), TAKEN)
def test_taken(form: str, text: str) -> None:
    assert of_form(form)(f" {text}\n") == text


@pytest.mark.parametrize(("form", "text"), [*REFUSED, *((form, "") for form, _ in TAKEN)])
def test_refused_with_an_example(form: str, text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(Annotated[str, AfterValidator(of_form(form))]).validate_python(text)
    [error] = refusal.value.errors()
    assert error["type"] == "form"
    assert "such as" in error["msg"] or "hexadecimal" in error["msg"]


def test_an_unknown_form_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        of_form("telephone")
