"""Tags for a text: subjects by their words, labels that are in use with their synonyms, and names that recur."""

import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Final

from worklore.memory.analyse import terms

SUBJECTS: Final[Mapping[str, frozenset[str]]] = {
    subject: frozenset(words.split())
    for subject, words in tomllib.loads(
        files("worklore.memory.compress").joinpath("tags.toml").read_text(encoding="utf-8")
    ).items()
}
MOST: Final = 8
RECURS: Final = 2
"""A name that stands so often in a text is a tag."""

NAME_LENGTH: Final = 4
MAX_LENGTH: Final = 60
_WORD: Final = re.compile(r"[a-z0-9][\w.+#/-]*", re.IGNORECASE)
_NAME: Final = re.compile(r"(?=.*[a-z])(?:[a-z0-9]+(?:[._-][a-z0-9]+)+|[a-z]+-?\d+)\Z")


def tags(
    text: str, *, synonyms: Mapping[str, str] | None = None, known: Collection[str] = (), most: int = MOST
) -> list[str]:
    """The tags of a text in lower case, those it bears out best first.

    Args:
        text: what is to be tagged.
        synonyms: words or phrases in lower case, and the tag that each stands for.
        known: tags in use; one that stands in the text is taken.
        most: at most so many.
    """
    lowered = " ".join(text.lower().split())
    words = Counter(word.strip(".-/") for word in _WORD.findall(lowered))
    stems = Counter(terms(text))
    found: Counter[str] = Counter()
    for subject, named in SUBJECTS.items():
        count = sum(words[word] for word in named)
        if count:
            found[subject] += count
    for tag in known:
        found[tag.lower()] += 2 * _times(tag.lower(), lowered, words)
    for word, tag in (synonyms or {}).items():
        found[tag.lower()] += 2 * _times(word.lower(), lowered, words)
    for word, count in words.items():
        if count >= RECURS and NAME_LENGTH <= len(word) <= MAX_LENGTH and _NAME.match(word) and stems:
            found[word] += count
    ranked = sorted((tag for tag in found if found[tag] > 0 and tag.strip()), key=lambda tag: (-found[tag], tag))
    return ranked[:most]


def _times(phrase: str, lowered: str, words: Mapping[str, int]) -> int:
    if not phrase:
        return 0
    if " " in phrase:
        return len(re.findall(rf"(?<!\w){re.escape(phrase)}(?!\w)", lowered))
    return words.get(phrase, 0)
