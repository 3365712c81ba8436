"""A secret is shown where it is asked for by name."""

import copy
import json
import logging
import pickle
from dataclasses import asdict, dataclass

import orjson
import pytest

from worklore.kernel.errors import InvalidError
from worklore.vault.secret import MAX_SECRET, Secret

TEXT = "planted canary of a secret"


@dataclass
class Holder:
    secret: Secret


def test_it_is_in_no_text_that_is_made_of_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    logging.getLogger("vault").warning("%s %r", secret, secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", repr([secret]), repr(Holder(secret)), caplog.text]
    assert not [text for text in shown if TEXT in text]
    assert secret.reveal() == TEXT


@pytest.mark.parametrize(
    "out",
    [json.dumps, orjson.dumps, pickle.dumps, copy.copy, copy.deepcopy, vars, hash, lambda it: asdict(Holder(it))],
    ids=["json", "orjson", "pickle", "copy", "deepcopy", "vars", "hash", "asdict"],
)
def test_it_leaves_no_other_way(out: object) -> None:
    with pytest.raises(TypeError) as refused:
        out(Secret(TEXT))  # type: ignore[operator]
    assert TEXT not in str(refused.value)


def test_two_are_equal_by_what_they_hold() -> None:
    assert Secret(TEXT) == Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT


@pytest.mark.parametrize("value", ["", "x" * (MAX_SECRET + 1), "é" * (MAX_SECRET // 2 + 1), "\ud800 lone"])
def test_what_is_no_secret_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Secret(value)
    assert not value or value not in str(refused.value.problem())
    assert refused.value.__cause__ is None


def test_the_longest_is_taken() -> None:
    assert Secret("x" * MAX_SECRET).reveal() == "x" * MAX_SECRET
