"""A made-up data set of names as programmers and technicians write them, each asked for as somebody else would.

Nobody has published one, so it is generated from a seed: turns that hold an identifier (a function, a variable, a
path, an error code, a host, a flag), among turns with others made of the same words, and questions that spell it
otherwise (`getUserName` as `get_user_name`, as "get user name", as a part of it), or exactly. What is measured by it is
whether names are taken apart and kept whole, and nothing about talk. Reports of one fault by two people, in other
words but with the same names in them, are its second half.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from worklore.memory.bench import Dataset, Document, Query

WORDS: Final = {
    "verbs": "get set load parse send fetch build update remove merge check render sync open close retry flush",
    "nouns": "user name invoice buffer session token queue backup mailbox tenant printer record index batch ticket "
    "volume cluster route policy schema cursor worker header cache",
    "kinds": "handler factory error manager client writer reader service timeout config",
    "folders": "src lib app core net store api web jobs tools",
    "sites": "ber muc ham cgn fra lej",
}
VERBS, NOUNS, KINDS, FOLDERS, SITES = (words.split() for words in WORDS.values())
SAID: Final = (
    "The problem is in {}.",
    "{} was changed this morning and the build is green again.",
    "I looked at {} and it does what it should.",
    "After the upgrade {} came up in the log twice.",
    "Please have a look at {} before the release.",
)
REPORTS: Final = (
    ("{} fails after the update, the log says {}", "since yesterday's patch we see {1} whenever {0} is called"),
    ("{} hangs until the {} appears", "users wait forever: {0} does not return and then {1}"),
    ("cannot start: {} raises {}", "service will not come up any more, {1} out of {0}"),
)
START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)

Spelling = Callable[[list[str]], str]


def camel(words: list[str]) -> str:
    """``getUserName``."""
    return words[0] + "".join(word.capitalize() for word in words[1:])


def snake(words: list[str]) -> str:
    """``get_user_name``."""
    return "_".join(words)


SPELLINGS: Final[dict[str, Spelling]] = {
    "camel": camel,
    "class": lambda words: "".join(word.capitalize() for word in words),
    "snake": snake,
    "constant": lambda words: snake(words).upper(),
    "kebab": "-".join,
    "dotted": ".".join,
}
"""Ways of writing the same name, by what they are called."""


def dataset(names: int = 300, seed: int = 0) -> Dataset:
    """Turns about so many names and questions for each: `exact`, `respelled`, as `words`, for a `part` of it.

    The category `duplicate` asks by the other report of a fault.
    """
    chance = random.Random(seed)  # noqa: S311 - a made-up data set, not a secret
    documents: list[Document] = []
    queries: list[Query] = []
    for place, words in enumerate(_names(chance, names)):
        written, asked = chance.sample(sorted(SPELLINGS), 2)
        name = SPELLINGS[written](words)
        text = chance.choice(SAID).format(_within(chance, name))
        documents.append(_document(len(documents), text))
        questions = {
            "exact": name,
            "respelled": SPELLINGS[asked](words),
            "words": f"where is the {' '.join(words)}?",
            "part": f"{words[-2]} {words[-1]}",
        }
        for category, question in questions.items():
            queries.append(_query(f"{category}-{place}", question, documents[-1], category))
    for place in range(names // 3):
        fault, code = SPELLINGS["camel"](next(_names(chance, 1))), _code(chance)
        one, other = chance.choice(REPORTS)
        documents.append(_document(len(documents), one.format(fault, code)))
        queries.append(_query(f"duplicate-{place}", other.format(fault, code), documents[-1], "duplicate"))
    return Dataset("identifiers", "document", tuple(documents), tuple(queries))


def _names(chance: random.Random, count: int) -> Iterator[list[str]]:
    """Names of three or four words, no two the same; their words are few, so each has many that are like it."""
    seen: set[tuple[str, ...]] = set()
    while len(seen) < count:
        words = [chance.choice(VERBS), *chance.sample(NOUNS, 2), *chance.sample(KINDS, chance.randrange(2))]
        if tuple(words) not in seen:
            seen.add(tuple(words))
            yield words


def _within(chance: random.Random, name: str) -> str:
    """The name, alone or where names stand: in a path, a call, a host's log."""
    return chance.choice(
        (
            name,
            f"{name}()",
            f"{chance.choice(FOLDERS)}/{chance.choice(FOLDERS)}/{name}.py",
            f"{name} on {chance.choice(SITES)}-srv-{chance.randrange(1, 90):02d}.example.com",
            f"`--{name}={chance.randrange(1000)}`",
        )
    )


def _code(chance: random.Random) -> str:
    kind = chance.choice(("ERR_{}_{}", "0x{:08X}", "E{:05d}"))
    if kind.startswith("ERR"):
        return kind.format(*(word.upper() for word in chance.sample(NOUNS, 2)))
    return kind.format(chance.randrange(10**5))


def _document(place: int, text: str) -> Document:
    """A turn of a session of twenty."""
    time = START + timedelta(hours=place // 20, minutes=place % 20)
    return Document(f"d{place}", "project", f"s{place // 20}", time, "user" if place % 2 else "assistant", text)


def _query(name: str, question: str, about: Document, category: str) -> Query:
    return Query(name, "project", question, frozenset((about.id,)), category)
