"""The plain searches every benchmark result stands beside.

They are what a small memory server does (SQLite's own full-text search), what an agent does without any memory (a
substring scan), what vector stores do (the likeness of whole documents, by the very model that is ours) and how
memory servers join the two (reciprocal rank fusion, after Cormack, Clarke and Buettcher, 2009). All rank whole
documents, and share the packer with the index, so that only the search differs.
"""

import re
import sqlite3
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from worklore.memory.analyse import STOP_WORDS
from worklore.memory.bench import Document, Injection, Query
from worklore.memory.kept import Model
from worklore.memory.pack import Excerpt, pack
from worklore.memory.rank import is_name

_WORD: Final = re.compile(r"\w+")
_DEEPEST: Final = 1000  # documents a peer ranks: more than any budget holds


def question_words(question: str) -> list[str]:
    """The distinct words of a question in lower case, without the stop words."""
    return list(dict.fromkeys(word for word in _WORD.findall(question.casefold()) if word not in STOP_WORDS))


def said(document: Document) -> str:
    """What is searched: the text, after the author's name where the author is a person."""
    return f"{document.author}: {document.text}" if is_name(document.author) else document.text


class _WholeDocuments(ABC):
    """A search that orders whole documents; subclasses say in which order."""

    def load(self, documents: Sequence[Document]) -> None:
        """See `Search`."""
        self._scopes: dict[str, list[Document]] = defaultdict(list)
        self._ordinals: dict[str, int] = {}
        counts: dict[str, int] = defaultdict(int)
        for document in documents:
            self._scopes[document.scope].append(document)
            self._ordinals[document.id] = counts[document.session]
            counts[document.session] += 1
        for held in self._scopes.values():
            held.sort(key=lambda document: document.time)

    def rank(self, query: Query, limit: int) -> Sequence[str]:
        """See `Search`."""
        return [document.id for document in self.order(query)[:limit]]

    def recall(self, query: Query, budget: int) -> Injection:
        """See `Search`; documents are shown whole or not at all."""
        excerpts = (self._excerpt(document) for document in self.order(query))
        packed = pack(excerpts, budget, whole_share=1.0)
        return Injection(packed.text, [shown.excerpt.turn for shown in packed.shown if shown.whole])

    @abstractmethod
    def order(self, query: Query) -> list[Document]:
        """Documents of the query's scope that match, best first."""

    def _excerpt(self, document: Document) -> Excerpt:
        return Excerpt(
            turn=document.id,
            part=0,
            parts=(document.text,),
            session=document.session,
            ordinal=self._ordinals[document.id],
            time=document.time,
            author=document.author,
        )


class Fts5(_WholeDocuments):
    """SQLite FTS5 (`porter unicode61`), OR of the question's words, `bm25()`."""

    def load(self, documents: Sequence[Document]) -> None:
        """See `Search`."""
        super().load(documents)
        self._databases: dict[str, sqlite3.Connection] = {}
        for scope, held in self._scopes.items():
            database = self._databases[scope] = sqlite3.connect(":memory:")
            database.execute("CREATE VIRTUAL TABLE documents USING fts5(text, tokenize = 'porter unicode61')")
            rows = ((row, said(document)) for row, document in enumerate(held))
            database.executemany("INSERT INTO documents (rowid, text) VALUES (?, ?)", rows)

    def order(self, query: Query) -> list[Document]:
        """See the class."""
        words = question_words(query.text)
        if not words:
            return []
        rows: Iterable[tuple[int]] = self._databases[query.scope].execute(
            "SELECT rowid FROM documents WHERE documents MATCH ? ORDER BY bm25(documents), rowid LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), _DEEPEST),
        )
        return [self._scopes[query.scope][row] for (row,) in rows]


class Grep(_WholeDocuments):
    """Documents by how many of the question's words they contain as substrings, the newest first among equals."""

    def load(self, documents: Sequence[Document]) -> None:
        """See `Search`."""
        super().load(documents)
        self._folded = {scope: [said(document).casefold() for document in held] for scope, held in self._scopes.items()}

    def order(self, query: Query) -> list[Document]:
        """See the class."""
        words = question_words(query.text)
        counted = [(sum(word in text for word in words), row) for row, text in enumerate(self._folded[query.scope])]
        best = sorted((pair for pair in counted if pair[0]), reverse=True)[:_DEEPEST]
        return [self._scopes[query.scope][row] for _, row in best]


class Dense(_WholeDocuments):
    """Documents by how like the question they are as a whole: cosine of a model's vectors, none left out."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def load(self, documents: Sequence[Document]) -> None:
        """See `Search`."""
        super().load(documents)
        self._vectors = {
            scope: np.stack([each.pooled for each in self._model.embed([said(document) for document in held])])
            for scope, held in self._scopes.items()
        }

    def order(self, query: Query) -> list[Document]:
        """See the class."""
        if not query.text.strip():
            return []
        [asked] = self._model.embed([query.text])
        best = np.argsort(-(self._vectors[query.scope] @ asked.pooled), kind="stable")[:_DEEPEST]
        return [self._scopes[query.scope][row] for row in best.tolist()]


class Hybrid(_WholeDocuments):
    """Reciprocal rank fusion of `Fts5` and `Dense`, with the constant of 60 that is in use everywhere."""

    def __init__(self, model: Model) -> None:
        self._searches = (Fts5(), Dense(model))

    def load(self, documents: Sequence[Document]) -> None:
        """See `Search`."""
        super().load(documents)
        for search in self._searches:
            search.load(documents)

    def order(self, query: Query) -> list[Document]:
        """See the class."""
        scores: dict[str, float] = defaultdict(float)
        found: dict[str, Document] = {}
        for search in self._searches:
            for place, document in enumerate(search.order(query), 1):
                scores[document.id] += 1 / (_FUSION + place)
                found[document.id] = document
        return [found[name] for name in sorted(found, key=lambda name: -scores[name])[:_DEEPEST]]


_FUSION: Final = 60
