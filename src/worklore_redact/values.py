"""Secrets in values of JSON: in each text, and in members whose name says that they are one."""

import re
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from worklore_redact.checks import Check, assigned, dense
from worklore_redact.engine import CLEAN, Redaction, mark, redact

_PASSWORD: Final = re.compile(
    r"(?:.*[_.-])?(?:password|passwd|pwd|pw|pass|passphrase|passcode|passwort|kennwort|secret|psk|client_?secret|secret_?key)\d?"
)
_TOKEN: Final = re.compile(
    r"(?:.*[_.-])?(?:api_?key|access_?key|private_?key|auth_?key|token|bearer|authorization|credentials?)"
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def redact_json(
    value: Any,
    found: Counter[str],
    each: Callable[[str], Redaction] = redact,
    clean: Container[str] = CLEAN,
) -> Any:
    """The value without the secrets in its texts, names of members included; ``found`` is added to.

    ``each`` redacts one text; those in ``clean`` it would leave as they are. Raises RecursionError when the value is
    nested too deeply.
    """
    if isinstance(value, str):
        return value if value in clean else _counted(each(value), found)
    if isinstance(value, list):
        return [redact_json(item, found, each, clean) for item in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        done: dict[str, Any] = {}
        for key, item in cast("Mapping[str, Any]", value).items():
            name = key if key in clean else _counted(each(key), found)
            if isinstance(item, str):
                if (secret := member(key, item)) is not None:
                    done[name] = _counted(secret, found)
                else:
                    done[name] = item if item in clean else _counted(each(item), found)
            else:
                done[name] = redact_json(item, found, each, clean)
        return done
    return value


def member(name: str, text: str) -> Redaction | None:
    """The redaction of a member that its name shows to be a secret as a whole; None for any other."""
    if not 1 < len(name) <= LONGEST_NAME or not text:
        return None
    check = _check_of(name)
    if check is None or len(text) > LONGEST_MEMBER or "[redacted:" in text:
        return None
    kept = check(f'"{text}"', 0, 1, len(text) + 1)
    if kept is None:
        return None
    rule = "password" if check is assigned else "secret"
    return Redaction(mark(rule), found={rule: 1})


@lru_cache(2_000)
def _check_of(name: str) -> Check | None:
    """By what the value of a member is told to be a secret, where its name says that it may be one."""
    small = _HUMP.sub("_", name).lower()
    return assigned if _PASSWORD.fullmatch(small) else dense if _TOKEN.fullmatch(small) else None


LONGEST_NAME: Final = 100
LONGEST_MEMBER: Final = 4_096
"""Characters of a name that says something, and of a secret without a form of its own."""


def _counted(done: Redaction, found: Counter[str]) -> str:
    if done.found:
        found.update(done.found)
    return done.text
