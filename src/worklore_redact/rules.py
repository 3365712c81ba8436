"""The rules, read from their files: what is looked for is data, and none of it is code."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from worklore_redact.checks import CHECKS, Check

FOLDER: Final = Path(__file__).with_name("rules")
Gram = tuple[str, str, str]
ALWAYS: Final[Gram] = ("", "", "")
"""Where anchors of two letters are: each text is searched for them."""

_BY_FREQUENCY: Final = " etaoinsrhldcum.fpg_wyb,v-k0()1=x2jqz"
_FRAGMENT: Final = re.compile(r"\{([a-z][a-z-]*)\}")


@dataclass(frozen=True)
class Rule:
    """One way to know a secret by.

    Attributes:
        name: the name in the mark.
        anchors: texts in small letters one of which begins each match.
        written: the pattern as it stands in the file, its fragments put in; None for a rule of the word before.
        check: what a find must pass, and which may shorten it; None for whatever matches.
        back: a class of characters, of which those right before the anchor belong to the secret; at least ``least``.
        after: whether the pattern begins after the anchor rather than with it.
        whole: whether no letter may stand before the anchor.
        exact: whether capital and small letters differ.
        source: where the format is described.
    """

    name: str
    anchors: tuple[str, ...]
    written: str | None
    check: Check | None = None
    after: bool = False
    whole: bool = False
    exact: bool = False
    back: "re.Pattern[str] | None" = None
    least: int = 0
    source: str = field(default="", compare=False)

    @cached_property
    def pattern(self) -> "re.Pattern[str]":
        """The compiled pattern: made at the first anchor, since most texts hold few of them."""
        return re.compile(self.written or "", 0 if self.exact else re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and the digest of their files, which says by which rules a text was judged."""

    all: tuple[Rule, ...]
    version: str
    by_gram: Mapping[Gram, tuple[tuple[str, tuple[Rule, ...]], ...]]
    """Anchors with their rules, below three letters that each holds: one look at a text says which may be in it."""
    grams: frozenset[Gram]
    """The keys of ``by_gram``."""
    scans: tuple[Rule, ...]
    """Rules without an anchor, tried everywhere."""


@cache
def rules() -> Rules:
    """The rules that come with this package."""
    files = sorted(FOLDER.glob("*.toml"))
    texts = [file.read_bytes() for file in files]
    read = tuple(rule for text in texts for rule in parse(text.decode()))
    by_anchor: dict[str, tuple[Rule, ...]] = {}
    for rule in read:
        for anchor in rule.anchors:
            by_anchor[anchor] = (*by_anchor.get(anchor, ()), rule)
    code = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]
    by_gram = _by_gram(by_anchor)
    return Rules(
        read,
        hashlib.sha256(b"\x00".join(texts + code)).hexdigest()[:12],
        by_gram,
        frozenset(by_gram),
        tuple(rule for rule in read if not rule.anchors),
    )


def _by_gram(by_anchor: Mapping[str, tuple[Rule, ...]]) -> dict[Gram, tuple[tuple[str, tuple[Rule, ...]], ...]]:
    """The anchors below the rarest three letters that each holds."""
    grouped: dict[Gram, tuple[tuple[str, tuple[Rule, ...]], ...]] = {}
    for anchor, known in by_anchor.items():
        grams = zip(anchor, anchor[1:], anchor[2:], strict=False)
        gram = max(grams, key=lambda letters: sum(map(_rarity, letters)), default=ALWAYS)
        grouped[gram] = (*grouped.get(gram, ()), (anchor, known))
    return grouped


def _rarity(letter: str) -> int:
    """How seldom a letter is, roughly, in English prose and programs."""
    return _BY_FREQUENCY.find(letter) if letter in _BY_FREQUENCY else len(_BY_FREQUENCY)


def parse(text: str) -> Iterator[Rule]:
    """The rules of one file.

    Raises:
        ValueError: a rule has no anchor, names a check or a fragment there is not, or its anchor is not small.
    """
    read: dict[str, Any] = tomllib.loads(text)
    fragments: Mapping[str, str] = read.get("fragments", {})
    for row in read["rule"]:
        anchors = tuple(_anchors(row, read.get("anchors", {})))
        if (not anchors and not row.get("scan")) or any(anchor != anchor.lower() for anchor in anchors):
            raise ValueError(f"{row['name']}: a rule needs anchors, in small letters")
        yield Rule(
            name=row["name"],
            anchors=anchors,
            written=None if row.get("before") else _with_fragments(row["pattern"], fragments),
            check=CHECKS[row["check"]] if "check" in row else None,
            after=row.get("after", False),
            whole=row.get("whole", False),
            exact=row.get("case", False),
            back=re.compile(f"[{row['back']}]") if "back" in row else None,
            least=row.get("least", 0),
            source=row.get("source", ""),
        )


def _anchors(row: Mapping[str, Any], lists: Mapping[str, list[str]]) -> Iterator[str]:
    """The anchors of a rule; ``@name`` stands for a list of the file."""
    for anchor in row.get("anchors", ()):
        if anchor.startswith("@"):
            yield from lists[anchor[1:]]
        else:
            yield anchor


def _with_fragments(pattern: str, fragments: Mapping[str, str]) -> str:
    for _ in range(4):  # fragments may name fragments
        pattern = _FRAGMENT.sub(lambda found: fragments[found[1]], pattern)
    return pattern
