"""The words a text is looked up by on this machine, told without a regular expression: a hook has no time to load them.

Coarser than what the hub goes by, and made alike for what is kept and for what is asked.
"""

LONGEST_TEXT = 8_000
LONGEST_WORD = 40
_STOP = frozenset(
    (  # noqa: SIM905 - read as the prose it is
        "a about after all also am an and any are as at be been but by can could did do does for from get go had has "
        "have he her his how i if in into is it its just let like make me more my no not of on one or our out over "
        "please she should so some such than that the their them then there these they this those to under up us use "
        "was we were what when where which while who why will with would you your yes aber als am an auch auf aus "
        "bei bin bis da das dass dem den der des die doch du ein eine einem einen einer er es für hat ich ihr im in "
        "ist ja kann kein mit nach nicht noch nur oder sein sich sie sind so über um und uns vom von vor war was "
        "wenn wer wie wir wird wo zu zum zur"
    ).split()
)
_ENDINGS = ("ations", "ation", "ingly", "ings", "edly", "ies", "ing", "ers", "ed", "es", "er", "en", "s", "e")
_SHORTEST_STEM = 4


def terms(text: str) -> list[str]:
    """The words of `text` in their order, in lower case, without stop words and endings."""
    spaced = "".join([letter if letter.isalnum() else " " for letter in text[:LONGEST_TEXT].lower()])
    return [stem(word) for word in spaced.split() if word not in _STOP and len(word) <= LONGEST_WORD]


def bearing(texts: "list[str]", question: str) -> "list[int]":
    """Places of the texts that share words with a question, at least two or its only one; the most first."""
    asked = frozenset(terms(question))
    least = max(1, min(2, len(asked)))
    shared = [len(asked & frozenset(terms(text))) for text in texts]
    return sorted((at for at, count in enumerate(shared) if count >= least), key=lambda at: -shared[at])


def stem(word: str) -> str:
    """A word without the ending that its forms differ in; numbers and short words stay as they are."""
    if not word.isalpha():
        return word
    for ending in _ENDINGS:
        if len(word) - len(ending) >= _SHORTEST_STEM and word.endswith(ending):
            return word[: -len(ending)]
    return word
