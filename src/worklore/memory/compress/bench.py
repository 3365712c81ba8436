"""Compression measured on a dataset folder: tokens before and after, together with the evidence that is kept.

Each session of the dataset is compressed by itself to a share of its tokens, and cut to the very same number of tokens
for comparison: at the end (`head`) and at the beginning (`tail`). Definitions:

- **kept**: the share of a query's evidence whose *answer-bearing sentence* still stands in the compressed text, word
  for word but for white space, averaged over queries. That sentence is the one of the evidence document that shares
  most with the question, each shared term counting by its rarity in the scope; where none shares anything, the longest.
  With `evidence: session` the sentence is sought in all of the session's documents.
- **whole**: the share of a query's evidence documents all of whose sentences are kept.
- **reduction**: 1 - tokens after / tokens before, over all sessions.
- **interval**: 95 % percentile bootstrap over queries of the difference in `kept` between the compressor and the better
  truncation, seeded.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from worklore.memory import tokens
from worklore.memory.analyse import terms
from worklore.memory.bench import RESAMPLES, Dataset, Document, Query, load_dataset
from worklore.memory.compress.conversation import Said, conversation, sentences

SHARES: Final = (0.5, 0.25, 0.1)

Shorten = Callable[[Sequence[Said], int], str]


@dataclass(slots=True)
class Method:
    """How sessions are shortened, and what came of it."""

    shorten: Shorten
    after: int = 0
    seconds: float = 0.0
    texts: dict[str, str] = field(default_factory=dict[str, str])


def _compressed(turns: Sequence[Said], budget: int) -> str:
    return conversation(turns, budget).text


def _head(turns: Sequence[Said], budget: int) -> str:
    return _cut(turns, budget, from_end=False)


def _tail(turns: Sequence[Said], budget: int) -> str:
    return _cut(turns, budget, from_end=True)


def _cut(turns: Sequence[Said], budget: int, *, from_end: bool) -> str:
    """So many whole words from one end as the budget allows."""
    words = "\n".join(f"{turn.author}: {turn.text}" for turn in turns).split(" ")
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        some = words[-middle:] if from_end else words[:middle]
        low, high = (middle, high) if tokens.count_within(" ".join(some), budget) is not None else (low, middle - 1)
    return " ".join(words[len(words) - low :] if from_end else words[:low])


METHODS: Final[Mapping[str, Shorten]] = {"compressed": _compressed, "head": _head, "tail": _tail}


def run(folder: Path, *, shares: Sequence[float] = SHARES, seed: int = 0) -> dict[str, Any]:
    """Measure the conversation compressor on a dataset folder.

    Returns:
        `{dataset, queries, sessions, tokens, tokenizer, shares: {share: {method: {kept, whole, reduction, tokens, ms},
        interval}}}`; shares are fractions, ms are milliseconds for one session.

    Raises:
        DatasetError: the folder is not a dataset.
    """
    dataset = load_dataset(folder)
    sessions: dict[str, list[Document]] = defaultdict(list)
    for document in dataset.documents:
        sessions[document.session].append(document)
    turns = {key: [Said(document.author, document.text) for document in held] for key, held in sessions.items()}
    sizes = {key: tokens.count("\n".join(f"{one.author}: {one.text}" for one in said)) for key, said in turns.items()}
    bearing = _bearing(dataset, sessions)
    measured: dict[str, Any] = {}
    for share in shares:
        methods = {name: Method(shorten) for name, shorten in METHODS.items()}
        for method in methods.values():
            _shorten(method, turns, {key: int(size * share) for key, size in sizes.items()})
        measured[f"{share:.0%}"] = _figures(dataset, methods, bearing, sum(sizes.values()), seed)
    return {
        "dataset": dataset.name,
        "queries": len(dataset.queries),
        "sessions": len(sessions),
        "tokens": sum(sizes.values()),
        "tokenizer": tokens.NAME,
        "shares": measured,
    }


def _shorten(method: Method, turns: Mapping[str, Sequence[Said]], budgets: Mapping[str, int]) -> None:
    begun = perf_counter()
    for key, said in turns.items():
        method.texts[key] = method.shorten(said, budgets[key])
    method.seconds = perf_counter() - begun
    method.after = sum(tokens.count(text) for text in method.texts.values())
    method.texts = {key: _flat(text) for key, text in method.texts.items()}


@dataclass(frozen=True, slots=True)
class Bearing:
    """What bears the answer to a query: of each piece of evidence its session, the sentence, and all its sentences."""

    session: str
    sentence: str
    every: tuple[str, ...]


def _bearing(dataset: Dataset, sessions: Mapping[str, Sequence[Document]]) -> dict[str, list[Bearing]]:
    documents = {document.id: document for document in dataset.documents}
    cut = {document.id: [_flat(text) for text in sentences(document.text)] for document in dataset.documents}
    words = {text: frozenset(terms(text)) for texts in cut.values() for text in texts}
    rarity = _rarity(dataset, cut, words)
    found: dict[str, list[Bearing]] = {}
    for query in dataset.queries:
        asked = frozenset(terms(query.text))
        found[query.id] = []
        for evidence in sorted(query.evidence):
            held = [documents[evidence]] if dataset.evidence == "document" else sessions[evidence]
            every = [text for document in held for text in cut[document.id]]
            if every:
                weights = rarity[query.scope]
                best = max(every, key=lambda text: (sum(weights[word] for word in asked & words[text]), len(text)))
                found[query.id].append(Bearing(held[0].session, best, tuple(every)))
    return found


def _rarity(
    dataset: Dataset, cut: Mapping[str, Sequence[str]], words: Mapping[str, frozenset[str]]
) -> dict[str, dict[str, float]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    for document in dataset.documents:
        for text in cut[document.id]:
            counts[document.scope].update(words[text])
            sizes[document.scope] += 1
    return {
        scope: {word: math.log(1 + sizes[scope] / count) for word, count in counted.items()}
        for scope, counted in counts.items()
    }


def _flat(text: str) -> str:
    return " ".join(text.split())


def _figures(
    dataset: Dataset, methods: Mapping[str, Method], bearing: Mapping[str, Sequence[Bearing]], before: int, seed: int
) -> dict[str, Any]:
    kept = {
        name: [_share(query, method, bearing, whole=False) for query in dataset.queries]
        for name, method in methods.items()
    }
    figures: dict[str, Any] = {
        name: {
            "kept": round(float(np.mean(kept[name])), 4),
            "whole": round(float(np.mean([_share(one, method, bearing, whole=True) for one in dataset.queries])), 4),
            "reduction": round(1 - method.after / before, 4),
            "tokens": method.after,
            "ms": round(1000 * method.seconds / max(1, len(method.texts)), 2),
        }
        for name, method in methods.items()
    }
    best = max((name for name in methods if name != "compressed"), key=lambda name: figures[name]["kept"])
    difference = np.asarray(kept["compressed"]) - np.asarray(kept[best])
    picks = np.random.default_rng(seed).integers(0, len(difference), (RESAMPLES, len(difference)))
    bounds = np.percentile(difference[picks].mean(axis=1), (2.5, 97.5))
    return figures | {"interval": {"beside": best, "difference": [round(float(bound), 4) for bound in bounds]}}


def _share(query: Query, method: Method, bearing: Mapping[str, Sequence[Bearing]], *, whole: bool) -> float:
    pieces = bearing[query.id]
    if not pieces:
        return 0.0
    held = 0
    for piece in pieces:
        text = method.texts[piece.session]
        held += all(one in text for one in piece.every) if whole else piece.sentence in text
    return held / len(pieces)


def table(result: Mapping[str, Any]) -> str:
    """A result of `run` as lines for people, in percent."""
    size = f"{result['queries']} queries, {result['sessions']} sessions, {result['tokens']} tokens"
    lines = [
        f"{result['dataset']}: {size} by {result['tokenizer']}",
        f"{'to':>5} {'by':12}{'tokens':>10}{'reduced':>9}{'kept':>8}{'whole':>8}{'ms':>9}",
    ]
    for share, figures in result["shares"].items():
        for name in METHODS:
            one = figures[name]
            lines.append(
                f"{share:>5} {name:12}{one['tokens']:>10}{100 * one['reduction']:>9.1f}{100 * one['kept']:>8.1f}"
                f"{100 * one['whole']:>8.1f}{one['ms']:>9.2f}"
            )
        low, high = figures["interval"]["difference"]
        lines.append(
            f"      kept, above {figures['interval']['beside']}: {100 * low:+.1f} to {100 * high:+.1f} points (95 %)"
        )
    lines.append(
        "kept: the answer-bearing sentence of a query's evidence is still there; whole: all of the evidence is"
    )
    return "\n".join(lines)
