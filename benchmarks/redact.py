"""What redaction costs and how well it does, over texts that were made without its rules.

`python -m benchmarks.redact`. Recall and false alarms over the made-up corpus of tests/redact; milliseconds for each KB
beside a plain pass of one regular expression over the same texts in the same run, in processor time; the vault's
secrets exactly, 10,000 of them; and of a folder of transcripts or documents (JSON lines), given with --over, how much
is found in it, without showing any of it.
"""

import argparse
import base64
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.redact.corpus import Maker, clean, left_of, planted
from worklore_redact.engine import redact
from worklore_redact.known import Matcher, tellable

SEED = 2_026
PLANTED = 4_000
CLEAN = 12_000
KNOWN = 10_000
PLAIN = re.compile(r"(?i)\b(?:password|secret|token|api[_-]?key)\b\s*[:=]\s*(\S+)")
KB = 1024
DOCUMENT = 2_000
"""Characters of the texts that are timed: as long as messages are."""


def found() -> dict[str, Any]:
    """How many planted secrets are found, and how many clean lines change."""
    secrets = missed = texts = 0
    kinds: Counter[str] = Counter()
    for each in planted(SEED, PLANTED):
        left = redact(each.text).text
        gone = [secret for secret in each.secrets if left_of(secret, left)]
        texts, secrets, missed = texts + 1, secrets + len(each.secrets), missed + len(gone)
        if gone:
            kinds[each.kind] += 1
    changed = sum(redact(line).text != line for line in clean(SEED, CLEAN))
    return {
        "planted": secrets,
        "recall_percent": round(100 * (1 - missed / secrets), 2),
        "clean_lines": CLEAN,
        "false_lines_percent": round(100 * changed / CLEAN, 3),
        "missed_most": dict(kinds.most_common(5)),
    }


def documents(parts: Iterable[str]) -> list[str]:
    """Texts put together to the length of messages."""
    texts, held = list[str](), ""
    for part in parts:
        held += part + "\n"
        if len(held) >= DOCUMENT:
            texts.append(held)
            held = ""
    return texts


def cost(texts: list[str], work: Callable[[str], object]) -> float:
    """Milliseconds of processor time for each KB, the better of three passes."""
    size = sum(map(len, texts)) / KB
    best = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        for text in texts:
            work(text)
        best = min(best, time.thread_time() - begun)
    return best * 1000 / size


def known() -> tuple[dict[str, Any], Matcher]:
    """The exact matcher over as many secrets as a large vault holds."""
    m = Maker(SEED)
    secrets = [secret for _ in range(2 * KNOWN) if tellable(secret := m.password())][:KNOWN]
    matcher = Matcher()
    begun = time.thread_time()
    matcher.look_for([matcher.forms(secret) for secret in secrets])
    learnt = time.thread_time() - begun
    forms: tuple[Callable[[str], str], ...] = (
        str,
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(b"x" + secret.encode()).decode(),
        lambda secret: quote(secret, safe=""),
        json.dumps,
    )
    missed = sum(
        matcher.take_out(f"it says {form(secret)} here", "*")[1] == 0 for secret in secrets[:2_000] for form in forms
    )
    figures = {"secrets": len(secrets), "seconds_to_learn": round(learnt, 2), "missed_in_10000_forms": missed}
    return figures, matcher


def over(folder: Path) -> Iterator[str]:
    """Every text in the JSON lines of a folder."""
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    yield from _texts(json.loads(line))
                except ValueError:
                    continue


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def run(folder: Path | None = None) -> dict[str, Any]:
    """All figures, and whether each is as good as what is promised."""
    figures: dict[str, Any] = {"corpus": found()}
    exact, matcher = known()
    prose = documents(clean(SEED, CLEAN))
    mixed = documents(part for each in planted(SEED, 1_000) for part in (each.text, *clean(len(each.text), 3)))
    plain = cost(prose, PLAIN.findall)
    figures["known"] = exact
    figures["ms_per_kb"] = {
        "plain_re": round(plain, 4),
        "clean": round(clean_cost := cost(prose, redact), 3),
        "with_secrets": round(cost(mixed, redact), 3),
        "known_10000": round(cost(prose, lambda text: matcher.take_out(text, "*")), 3),
        "clean_to_plain": round(clean_cost / plain, 1),
    }
    if folder is not None:
        texts = list(over(folder))
        counted: Counter[str] = Counter()
        hit = 0
        for text in texts:
            done = redact(text)
            hit += bool(done.found)
            counted.update(done.found)
        figures["over"] = {
            "texts": len(texts),
            "lines": sum(text.count("\n") + 1 for text in texts),
            "texts_with_finds": hit,
            "found": dict(counted.most_common()),
            "ms_per_kb": round(cost(texts, redact), 3),
        }
    corpus, costs = figures["corpus"], figures["ms_per_kb"]
    figures["holds"] = (
        corpus["recall_percent"] >= 95
        and corpus["false_lines_percent"] <= 0.5
        and figures["known"]["missed_in_10000_forms"] == 0
        and max(costs["clean"], costs["known_10000"]) <= 1
    )
    return figures


def table(figures: dict[str, Any]) -> str:
    return json.dumps(figures, indent=2)


def main() -> int:
    """Run it; 1 when a figure is worse than what is promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--over", type=Path, help="a folder of JSON lines to look through as well")
    figures = run(parser.parse_args().over)
    print(table(figures))
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
