"""What is known of programs and of what they say when they fail: the data in ``rules.toml``."""

import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

RULES: Final[dict[str, Any]] = tomllib.loads(
    files("worklore.memory.warn").joinpath("rules.toml").read_text(encoding="utf-8")
)


def any_of(patterns: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """One expression for all of them, without regard to case."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE | flags)


def words(name: str) -> frozenset[str]:
    """A list of words."""
    return frozenset(RULES[name].split())


def words_by(name: str) -> dict[str, frozenset[str]]:
    """A table of lists of words."""
    return {key: frozenset(listed.split()) for key, listed in RULES[name].items()}
