"""Porter2 ("English") stemmer.

Method: M. F. Porter, "The English (Porter2) stemming algorithm",
https://snowballstem.org/algorithms/english/stemmer.html. Our own code after the published description. Words are
expected in lower case; anything that is not made of the letters a to z and apostrophes comes back unchanged, because
rules for English suffixes say nothing about it.
"""

import re
from functools import lru_cache
from typing import Final

_VOWELS: Final = frozenset("aeiouy")
_DOUBLES: Final = ("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")
_VALID_LI: Final = frozenset("cdeghkmnrt")
_WORD: Final = re.compile(r"[a-z'Y]+\Z")
_R1: Final = re.compile(r"[aeiouy][^aeiouy]")
_R1_PREFIXES: Final = re.compile(r"gener|commun|arsen|past|univers|later|emerg|organ|inter")
_Y_AS_CONSONANT: Final = re.compile(r"(?:^|(?<=[aeiouy]))y")
_SHORT_END: Final = re.compile(r"(?:.*[^aeiouy][aeiouy][^aeiouywxY]|\A[aeiouy][^aeiouy]|.*past)\Z", re.DOTALL)

# Words the rules would get wrong; the first group is mapped, the second left alone.
_EXCEPTIONS: Final = {
    "skis": "ski",
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "idly": "idl",
    "gently": "gentl",
    "ugly": "ugli",
    "early": "earli",
    "only": "onli",
    "singly": "singl",
    **{word: word for word in ("sky", "news", "howe", "atlas", "cosmos", "bias", "andes")},
}
_INVARIANT_AFTER_1A: Final = frozenset(
    ("evening", "inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"),
)
_STEP_2: Final = (
    ("ational", "ate"),
    ("fulness", "ful"),
    ("iveness", "ive"),
    ("ization", "ize"),
    ("ousness", "ous"),
    ("biliti", "ble"),
    ("lessli", "less"),
    ("tional", "tion"),
    ("alism", "al"),
    ("aliti", "al"),
    ("ation", "ate"),
    ("entli", "ent"),
    ("fulli", "ful"),
    ("iviti", "ive"),
    ("ousli", "ous"),
    ("ogist", "og"),
    ("abli", "able"),
    ("alli", "al"),
    ("anci", "ance"),
    ("ator", "ate"),
    ("enci", "ence"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("ogi", "og"),
    ("li", ""),
)
_STEP_3: Final = (
    ("ational", "ate"),
    ("tional", "tion"),
    ("alize", "al"),
    ("ative", ""),
    ("icate", "ic"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ness", ""),
    ("ful", ""),
)
_STEP_4: Final = (
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate",
    "iti", "ous", "ive", "ize", "ion", "al", "er", "ic",
)  # fmt: skip


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of a lower-case English word; up to two letters, or other characters, stay as they are."""
    if len(word) <= 2 or _WORD.match(word) is None:  # noqa: PLR2004 - the published rule's own bound
        return word
    exception = _EXCEPTIONS.get(word)
    if exception is not None:
        return exception
    word = _Y_AS_CONSONANT.sub("Y", word.removeprefix("'"))
    r1, r2 = _regions(word)
    word = _step_0(word)
    word = _step_1a(word)
    if word in _INVARIANT_AFTER_1A:
        return word.lower()
    word = _step_1b(word, r1)
    word = _step_1c(word)
    word = _step_2(word, r1)
    word = _step_3(word, r1, r2)
    word = _step_4(word, r2)
    return _step_5(word, r1, r2).lower()


def _regions(word: str) -> tuple[int, int]:
    """Where R1 and R2 begin: after the first, and after the second, non-vowel that follows a vowel."""
    prefix = _R1_PREFIXES.match(word)
    first = prefix or _R1.search(word)
    r1 = first.end() if first else len(word)
    second = _R1.search(word, r1)
    return r1, second.end() if second else len(word)


def _has_vowel(part: str) -> bool:
    return not _VOWELS.isdisjoint(part)


def _step_0(word: str) -> str:
    for suffix in ("'s'", "'s", "'"):
        if word.endswith(suffix):
            return word[: -len(suffix)]
    return word


def _step_1a(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]  # noqa: PLR2004 - "ties" -> "tie", "cries" -> "cri"
    if word.endswith("s") and not word.endswith(("us", "ss")) and _has_vowel(word[:-2]):
        return word[:-1]
    return word


def _step_1b(word: str, r1: int) -> str:
    for suffix in ("eedly", "eed"):
        if word.endswith(suffix):
            return word[: len(word) - len(suffix)] + "ee" if len(word) - len(suffix) >= r1 else word
    for suffix in ("ingly", "edly", "ing", "ed"):
        if word.endswith(suffix):
            return _restore(word, word[: -len(suffix)], r1, suffix)
    return word


def _restore(word: str, base: str, r1: int, suffix: str) -> str:
    """What remains once -ed or -ing is gone, with the -e or the single consonant that English spelling had changed."""
    if not _has_vowel(base):
        return word
    if suffix == "ing" and len(base) == 2 and base[1] == "y" and base[0] not in _VOWELS:  # noqa: PLR2004 - "dying" kin
        return base[0] + "ie"
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if base.endswith(_DOUBLES):
        return base if len(base) == 3 and base[0] in "aeo" else base[:-1]  # noqa: PLR2004 - "add", "egg", "off" keep both
    return base + "e" if r1 >= len(base) and _SHORT_END.match(base) else base


def _step_1c(word: str) -> str:
    if len(word) > 2 and word[-1] in "yY" and word[-2] not in _VOWELS:  # noqa: PLR2004 - "by" and "say" stay
        return word[:-1] + "i"
    return word


def _step_2(word: str, r1: int) -> str:
    for suffix, replacement in _STEP_2:
        if not word.endswith(suffix):
            continue
        base = word[: len(word) - len(suffix)]
        blocked = (
            len(base) < r1
            or (suffix == "ogi" and not base.endswith("l"))
            or (suffix == "li" and base[-1:] not in _VALID_LI)
        )
        return word if blocked else base + replacement
    return word


def _step_3(word: str, r1: int, r2: int) -> str:
    for suffix, replacement in _STEP_3:
        if word.endswith(suffix):
            base = word[: len(word) - len(suffix)]
            return word if len(base) < (r2 if suffix == "ative" else r1) else base + replacement
    return word


def _step_4(word: str, r2: int) -> str:
    for suffix in _STEP_4:
        if word.endswith(suffix):
            base = word[: len(word) - len(suffix)]
            blocked = len(base) < r2 or (suffix == "ion" and base[-1:] not in ("s", "t"))
            return word if blocked else base
    return word


def _step_5(word: str, r1: int, r2: int) -> str:
    base = word[:-1]
    if word.endswith("e"):
        return base if len(base) >= r2 or (len(base) >= r1 and not _SHORT_END.match(base)) else word
    if word.endswith("ll"):
        return base if len(base) >= r2 else word
    return word
