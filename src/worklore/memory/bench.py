"""Recall measured on a dataset folder, for any search, beside plain peers in the same run.

A dataset is a folder with `meta.json` (`name`, `evidence`: `document` or `session`, and optionally `part`:
`development`, which it is if not said, or `test`, which nothing may be fitted to), `documents.jsonl` (`id`,
`scope`, `session`, `time`, `author`, `text`; oldest first within a session) and `queries.jsonl` (`id`, `scope`,
`text`, `evidence`, `category`, and optionally `time`, when it is asked). Only documents of the query's scope can
answer it.

Definitions:

- **recall@k** is fractional: the share of a query's evidence among the first k documents, averaged over queries.
  Where a search ranks passages, a document stands where its first passage does. Where it ranks windows, each document
  the window shows counts.
- **hit1**: share of queries whose first document is evidence.
- **budget**: share of a query's evidence whose text stands *whole* in what would be injected in so many tokens,
  headings, dates and tag included, counted by `worklore.memory.tokens`; averaged over queries. A document counts when
  the search says it shows it and its text, but for secrets that redaction takes out, is really in there. The budgets in
  percent are shares of the tokens of all the scope's texts. A text over its budget is an error.
- With `evidence: session`, a session counts as found with the first of its documents that is found.
- **ms**: wall time of one recall at 1,000 tokens (rank and pack) in the caller's process, per query.
- **newest first**: of the questions of the category `knowledge_update` of which an earlier and a later statement are
  among the first twenty documents, the share in which the later stands before the earliest.
- **interval**: 95 % percentile bootstrap over queries, seeded.
- Peers rank whole documents and are packed by the same packer: `fts5` (SQLite FTS5, `porter unicode61`, OR of the
  question's words minus a stop list, `bm25`), `grep` (count of the question's words found as substrings, newest
  first among equals), and where there is a model `dense` (cosine of its vectors, as vector stores rank) and `rrf`
  (reciprocal rank fusion of `fts5` and `dense`).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from worklore.memory import redaction, tokens
from worklore.memory.frame import neutral

CUTS: Final = (5, 10, 20)
BUDGETS: Final = (500, 1000, 2000)
SHARES: Final = {"10%": 0.10, "5%": 0.05}
TIMED_BUDGET: Final = 1000
RESAMPLES: Final = 1000
UPDATES: Final = "knowledge_update"
"""The category of questions whose answer has changed: their evidence is an earlier and a later statement."""

Record = TypeVar("Record")


class DatasetError(ValueError):
    """A dataset folder that cannot be measured; the text says which file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Document:
    """One turn or message; `scope` is the project it belongs to."""

    id: str
    scope: str
    session: str
    time: datetime
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question; `time` is when it is asked, None where the dataset does not say."""

    id: str
    scope: str
    text: str
    evidence: frozenset[str]
    category: str
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset folder as read.

    `evidence` says what the ids in a query's evidence name: `document` or `session`. `part` is `development` or `test`.
    """

    name: str
    evidence: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    part: str = "development"


@dataclass(frozen=True, slots=True)
class Injection:
    """What would be injected, and the ids of the documents it claims to show whole."""

    text: str
    documents: Sequence[str]


class Search(Protocol):
    """What is measured."""

    def load(self, documents: Sequence[Document]) -> None:
        """Take in all documents of a dataset, in the order given."""
        ...

    def rank(self, query: Query, limit: int) -> Sequence[str]:
        """Ids of at most `limit` documents of the query's scope, best first, none twice."""
        ...

    def recall(self, query: Query, budget: int) -> Injection:
        """The text to inject for a query in at most `budget` tokens."""
        ...


def load_dataset(folder: Path) -> Dataset:
    """Read a dataset folder.

    Raises:
        DatasetError: a file is missing or a line is not what the format says.
    """
    meta = _read(folder / "meta.json", json.loads)
    evidence = meta.get("evidence")
    if evidence not in ("document", "session"):
        raise DatasetError(f"{folder / 'meta.json'}: evidence must be 'document' or 'session', not {evidence!r}")
    part = meta.get("part", "development")
    if part not in ("development", "test"):
        raise DatasetError(f"{folder / 'meta.json'}: part must be 'development' or 'test', not {part!r}")
    documents = _lines(folder / "documents.jsonl", _document)
    queries = _lines(folder / "queries.jsonl", _query)
    ids = Counter(document.id for document in documents)
    if repeated := [name for name, times in ids.items() if times > 1]:
        raise DatasetError(f"{folder / 'documents.jsonl'}: more than one document is called {repeated[0]}")
    known = {document.id if evidence == "document" else document.session for document in documents}
    for query in queries:
        if unknown := query.evidence - known:
            raise DatasetError(
                f"{folder / 'queries.jsonl'}: {query.id} names evidence that is not there: {min(unknown)}"
            )
    return Dataset(str(meta.get("name", folder.name)), evidence, tuple(documents), tuple(queries), part)


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error


def _lines(path: Path, make: Callable[[dict[str, Any]], Record]) -> list[Record]:
    records: list[Record] = []
    # At "\n" alone: splitlines would also break at separators that JSON strings may hold.
    for number, line in enumerate(_read(path, lambda text: text.split("\n")), 1):
        if not line.strip():
            continue
        try:
            records.append(make(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}:{number}: {type(error).__name__}: {error}") from error
    if not records:
        raise DatasetError(f"{path}: no {path.stem} in it")
    return records


def _document(line: dict[str, Any]) -> Document:
    return Document(
        id=line["id"],
        scope=line["scope"],
        session=line["session"],
        time=_time(line["time"]),
        author=line["author"],
        text=line["text"],
    )


def _time(text: str) -> datetime:
    """A time without a zone is in UTC, so that a figure does not depend on where it is taken."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _query(line: dict[str, Any]) -> Query:
    if not line["evidence"]:
        raise ValueError("a query without evidence measures nothing")
    return Query(
        id=line["id"],
        scope=line["scope"],
        text=line["text"],
        evidence=frozenset(line["evidence"]),
        category=line.get("category", ""),
        time=_time(line["time"]) if line.get("time") else None,
    )


@dataclass(slots=True)
class _Rows:
    """Per query, in order: each figure by its name, the time, the category."""

    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: list[float] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    newest_first: list[bool] = field(default_factory=list)


def run(folder: Path, search: Search, *, peers: Mapping[str, Search] | None = None, seed: int = 0) -> dict[str, Any]:
    """Measure a search and its peers on a dataset folder; shares are fractions, times milliseconds.

    Returns:
        `{dataset, queries, recall: {5, 10, 20}, hit1, budget: {500, 1000, 2000, "10%", "5%"}, ms: {p50, p95},
        categories, interval, peers, tokenizer}` with text keys; each category and each peer holds the same figures.

    Raises:
        DatasetError: the folder is not a dataset, or a search injected more tokens than it was given.
    """
    return compare(load_dataset(folder), search, peers=peers, seed=seed)


def compare(
    dataset: Dataset, search: Search, *, peers: Mapping[str, Search] | None = None, seed: int = 0
) -> dict[str, Any]:
    """The same of a data set that is loaded already."""
    rows = measure(dataset, search)
    beside = {name: measure(dataset, peer) for name, peer in (peers or {}).items()}
    return {
        "dataset": dataset.name,
        "queries": len(dataset.queries),
        "documents": len(dataset.documents),
        "tokenizer": tokens.NAME,
        **_summary(rows),
        "categories": _categories(rows),
        "interval": _interval(rows, seed),
        "peers": {
            name: _summary(held) | {"behind": _behind(rows, held, seed), "categories": _categories(held)}
            for name, held in beside.items()
        },
    }


def measure(dataset: Dataset, search: Search) -> _Rows:
    """Ask every query of a dataset of a search that is loaded with all its documents."""
    search.load(dataset.documents)
    documents = {document.id: document for document in dataset.documents}
    history: dict[str, int] = defaultdict(int)
    for document in dataset.documents:
        history[document.scope] += tokens.count(document.text)

    def found(ids: Sequence[str], query: Query) -> float:
        names = set(ids) if dataset.evidence == "document" else {documents[i].session for i in ids}
        return len(query.evidence & names) / len(query.evidence)

    rows, order = _Rows(), {document.id: place for place, document in enumerate(dataset.documents)}
    for query in dataset.queries:
        ranked = search.rank(query, max(CUTS))
        if query.category == UPDATES:
            rows.newest_first += _newest_first(ranked, sorted(query.evidence, key=order.__getitem__))
        for cut in CUTS:
            rows.figures[f"recall {cut}"].append(found(ranked[:cut], query))
        rows.figures["hit1"].append(float(found(ranked[:1], query) > 0))
        budgets = {str(budget): budget for budget in BUDGETS}
        budgets |= {name: int(share * history[query.scope]) for name, share in SHARES.items()}
        for name, budget in budgets.items():
            started = perf_counter()
            injection = search.recall(query, budget)
            if budget == TIMED_BUDGET:
                rows.seconds.append(perf_counter() - started)
            size = tokens.count(injection.text)
            if size > budget:
                raise DatasetError(f"query {query.id}: {size} tokens injected, {budget} allowed")
            whole = [i for i in injection.documents if shows(injection.text, documents[i].text)]
            rows.figures[f"budget {name}"].append(found(whole, query))
        rows.categories.append(query.category)
    return rows


def shows(told: str, text: str) -> bool:
    """Whether what is told holds a text, whole but for what redaction takes out of it."""
    return neutral(text) in told or neutral(redaction.told(text)) in told


def _newest_first(ranked: Sequence[str], evidence: Sequence[str]) -> list[bool]:
    """Whether a later statement stands before the first one; nothing where not both are found."""
    places = {name: place for place, name in enumerate(ranked)}
    later = [places[name] for name in evidence[1:] if name in places]
    return [min(later) < places[evidence[0]]] if later and evidence[0] in places else []


def _nest(figures: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {"recall": {}, "hit1": figures["hit1"], "budget": {}}
    for name, value in figures.items():
        group, _, key = name.partition(" ")
        if key:
            nested[group][key] = value
    return nested


def _summary(rows: _Rows) -> dict[str, Any]:
    p50, p95 = np.percentile(np.asarray(rows.seconds) * 1000, (50, 95))
    return {
        **_nest({name: round(float(np.mean(values)), 4) for name, values in rows.figures.items()}),
        "ms": {"p50": round(float(p50), 2), "p95": round(float(p95), 2)},
        "newest_first": {"of": len(rows.newest_first), "share": round(float(np.mean(rows.newest_first or [False])), 4)},
    }


def _categories(rows: _Rows) -> dict[str, Any]:
    labels = np.asarray(rows.categories)
    return {
        str(label): {
            "queries": int((labels == label).sum()),
            **_nest(
                {name: round(float(np.asarray(held)[labels == label].mean()), 4) for name, held in rows.figures.items()}
            ),
        }
        for label in np.unique(labels)
    }


def _interval(rows: _Rows, seed: int) -> dict[str, Any]:
    count = len(rows.categories)
    picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))

    def bounds(values: list[float]) -> list[float]:
        means = np.asarray(values)[picks].mean(axis=1)
        return [round(float(bound), 4) for bound in np.percentile(means, (2.5, 97.5))]

    return {**_nest({name: bounds(values) for name, values in rows.figures.items()}), "level": 0.95}


def _behind(rows: _Rows, peer: _Rows, seed: int) -> dict[str, list[float]]:
    """By how much a peer is behind, query by query: the mean and its 95 % bounds, of each figure of ranking."""
    count = len(rows.categories)
    picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    found: dict[str, list[float]] = {}
    for name in ("recall 5", "recall 10", "hit1"):
        gap = np.asarray(rows.figures[name]) - np.asarray(peer.figures[name])
        bounds = np.percentile(gap[picks].mean(axis=1), (2.5, 97.5))
        found[name] = [round(float(value), 4) for value in (gap.mean(), *bounds)]
    return found


def table(result: Mapping[str, Any]) -> str:
    """A result of `run` as lines for people, in percent."""
    head = ["", *(f"r@{cut}" for cut in CUTS), "hit1", *(f"{b} tok" for b in BUDGETS), *SHARES, "p50 ms", "p95 ms"]
    lines = [head, _row("worklore", result)]
    lines += [_row(name, peer) for name, peer in result["peers"].items()]
    lines += [_row(f"  {name} ({held['queries']})", held) for name, held in result["categories"].items()]
    width = max(len(line[0]) for line in lines)
    size = f"{result['queries']} queries, {result['documents']} documents"
    title = f"{result['dataset']}: {size}, tokens by {result['tokenizer']}"
    low, high = result["interval"]["recall"]["10"]
    foot = f"fractional evidence recall in percent; r@10 within {100 * low:.1f} to {100 * high:.1f} (95 % bootstrap)"
    notes = [foot, *_gaps(result)]
    if result["newest_first"]["of"]:
        held = result["newest_first"]
        notes.append(
            f"the newest statement before the first in {100 * held['share']:.0f} % of {held['of']} updates found"
        )
    body = (line[0].ljust(width) + "".join(cell.rjust(9) for cell in line[1:]) for line in lines)
    return "\n".join((title, *body, *notes))


def _gaps(result: Mapping[str, Any]) -> list[str]:
    names = {"recall 5": "r@5", "recall 10": "r@10", "hit1": "hit1"}
    lines: list[str] = []
    for peer, held in result["peers"].items():
        gaps = (
            f"{names[name]} {100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            for name, (mean, low, high) in held["behind"].items()
        )
        lines.append(f"ahead of {peer}, query by query: {', '.join(gaps)}")
    return lines


def _row(name: str, figures: Mapping[str, Any]) -> list[str]:
    shares = [
        *(figures["recall"][str(cut)] for cut in CUTS),
        figures["hit1"],
        *(figures["budget"][str(budget)] for budget in (*BUDGETS, *SHARES)),
    ]
    times = figures.get("ms", {})
    return [name, *(f"{100 * share:.1f}" for share in shares), *(f"{time:.1f}" for time in times.values())]
