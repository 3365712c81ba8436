"""The files and commits that a text names, as it names them. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

MAX_CITED: Final = 40
"""Names of one text that are looked at."""

_PATH: Final = re.compile(
    r"(?<![\w@:/.~\\-])(?:~?/|\./|[A-Za-z]:[\\/])?(?:[\w.@+-]+[\\/])*[\w@+-][\w.@+-]*\.[A-Za-z][A-Za-z0-9]{0,9}(?![\w/\\])"
)
_COMMIT: Final = re.compile(r"(?<![\w/.-])(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}(?![\w/.-])")
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\S+@\S+", re.IGNORECASE)
_NO_ENDINGS: Final = frozenset({"com", "org", "net", "io", "de", "local", "example", "lan", "e", "g"})
"""What ends the name of a host or an abbreviation far more often than that of a file."""


@dataclass(frozen=True, slots=True)
class Cited:
    """What a text names: paths with `/` between their parts, and commits in lower case."""

    paths: tuple[str, ...]
    commits: tuple[str, ...]


def cited(text: str) -> Cited:
    """The files and commits that a text names, each once, in their order."""
    plain = _URL.sub(" ", text)
    paths = (found.group().replace("\\", "/").removeprefix("./") for found in _PATH.finditer(plain))
    named = [path for path in paths if _is_file(path)]
    commits = [found.group().lower() for found in _COMMIT.finditer(plain)]
    return Cited(tuple(dict.fromkeys(named))[:MAX_CITED], tuple(dict.fromkeys(commits))[:MAX_CITED])


def _is_file(path: str) -> bool:
    return PurePosixPath(path).suffix[1:].lower() not in _NO_ENDINGS


def same_file(one: str, other: str) -> bool:
    """True when one path is the end of the other, part by part: people shorten, tools do not."""
    shorter, longer = sorted((_parts(one), _parts(other)), key=len)
    return bool(shorter) and longer[-len(shorter) :] == shorter


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in {"", ".", "~"}]


def same_commit(one: str, other: str) -> bool:
    """True when one is the beginning of the other, of at least seven digits."""
    shorter, longer = sorted((one.lower(), other.lower()), key=len)
    return len(shorter) >= 7 and longer.startswith(shorter)  # noqa: PLR2004 - as git shortens them


def last_parts(paths: Iterable[str]) -> set[str]:
    """The names of files without their folders."""
    return {parts[-1] for path in paths if (parts := _parts(path))}
