"""``worklore redact``: a text without its secrets, for people and for pipelines."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from worklore_cli.failure import Failure
from worklore_redact.engine import Redaction, lines_of, redact

FOUND = 1
LONGEST = 64 * 1024 * 1024


def read(source: str) -> str:
    """A file's text, or that of standard input for ``-``. What is no UTF-8 stays as it is through the round trip.

    Raises:
        Failure: it cannot be read, or is longer than 64 MiB.
    """
    try:
        if source == "-":
            given = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(source).open("rb") as file:
                given = file.read(LONGEST + 1)
    except OSError as error:
        raise Failure(
            f"{source}: {error.strerror or type(error).__name__}", "Name a file, or - for the input"
        ) from None
    if len(given) > LONGEST:
        raise Failure(f"{source} is longer than {LONGEST >> 20} MiB", "Split it at line breaks, and redact the parts")
    return given.decode("utf-8", "surrogateescape")


def facts(text: str, done: Redaction) -> dict[str, Any]:
    """What is told of a redaction as JSON: never a secret."""
    places = [
        {"rule": find.name, "line": line} for find, line in zip(done.finds, lines_of(text, done.finds), strict=True)
    ]
    return {"state": str(done.state), "found": dict(done.found), "places": places}


def run(source: str, *, as_json: bool, check: bool) -> int:
    """Redact one source. The exit code of a check is 1 when something was found."""
    text = read(source)
    done = redact(text)
    if as_json:
        told = facts(text, done)
        if not check:
            told["text"] = done.text.encode("utf-8", "replace").decode()
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    elif check:
        for find, line in zip(done.finds, lines_of(text, done.finds), strict=True):
            sys.stdout.write(f"{source}:{line}: {find.name}\n")
        if not done.finds and done.found:
            sys.stdout.write(f"{source}: cannot be judged: {', '.join(done.found)}\n")
    else:
        sys.stdout.buffer.write(done.text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
        if done.found:
            sys.stderr.write(", ".join(f"{count} {rule}" for rule, count in Counter(done.found).most_common()) + "\n")
    return FOUND if check and done.found else 0
