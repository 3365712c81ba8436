"""Documents in memory, searched by the pure cores without a database: the method itself, as the benchmark sees it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from worklore.memory.bench import Document, Injection, Query
from worklore.memory.embed import Embedding, TokenVectors
from worklore.memory.index import Entry, Index
from worklore.memory.kept import Model
from worklore.memory.pack import Excerpt, pack
from worklore.memory.rank import Hit, Meaning, Weights, is_name, rank
from worklore.memory.units import entry, passages
from worklore.memory.vector import said

_HITS_PER_DOCUMENT = 8
_TOKENS_PER_HIT = 12


class Corpus:
    """A `Search` over documents; each scope has an index of its own.

    Without a model it goes by words alone. `weights` are what is measured to be best if not given, and may be changed
    between questions.
    """

    def __init__(self, weights: Weights | None = None, model: Model | None = None) -> None:
        self.weights = weights
        self._model = model
        self._asked: dict[str, Embedding] = {}
        self._tokens: dict[str, TokenVectors] = {}

    def load(self, documents: Sequence[Document]) -> None:
        """See `Search`."""
        self._documents = {document.id: document for document in documents}
        self._parts: dict[str, tuple[str, ...]] = {}
        self._ordinals: dict[str, int] = {}
        self._units: dict[str, tuple[str, int]] = {}
        self._terms: dict[str, frozenset[str]] = {}
        self._newest: dict[str, datetime] = {}
        entries: dict[str, list[Entry]] = defaultdict(list)
        counts: dict[str, int] = defaultdict(int)
        for document in documents:
            self._ordinals[document.id] = counts[document.session]
            counts[document.session] += 1
            self._newest[document.scope] = max(document.time, self._newest.get(document.scope, document.time))
            entries[document.scope].extend(self._cut(document))
        self._indexes = {scope: Index(held) for scope, held in entries.items()}
        if self._model is not None:
            for scope, held in entries.items():
                self._embed(self._model, scope, held)

    def _embed(self, model: Model, scope: str, units: Sequence[Entry]) -> None:
        made = model.embed([said(self._text(unit.id), author=unit.author, role=unit.role) for unit in units])
        read = {unit.id: vectors for unit, vectors in zip(units, made, strict=True)}
        # As precise as a database keeps them.
        self._indexes[scope].embed(
            {name: held.pooled.astype(np.float16).astype(np.float32) for name, held in read.items()}
        )
        self._tokens |= {name: held.tokens for name, held in read.items()}

    def _text(self, unit: str) -> str:
        document, part = self._units[unit]
        return self._parts[document][part]

    def rank(self, query: Query, limit: int) -> Sequence[str]:
        """See `Search`; a document stands where its best passage does."""
        found: dict[str, None] = {}
        for hit in self.hits(query, limit * _HITS_PER_DOCUMENT):
            found.setdefault(self.document(hit))
            if len(found) == limit:
                break
        return list(found)

    def document(self, hit: Hit) -> str:
        """The id of the document that a hit is a passage of."""
        return self._units[hit.id][0]

    def recall(self, query: Query, budget: int) -> Injection:
        """See `Search`."""
        return self.packed(self.hits(query, max(100, budget // _TOKENS_PER_HIT)), budget)

    def packed(self, hits: Sequence[Hit], budget: int) -> Injection:
        """What of ranked passages fits a budget of tokens."""
        packed = pack((self._excerpt(hit) for hit in hits), budget)
        return Injection(packed.text, [shown.excerpt.turn for shown in packed.shown if shown.whole])

    def hits(self, query: Query, limit: int) -> list[Hit]:
        """The best passages for a query, best first."""
        index = self._indexes[query.scope]
        now = query.time or self._newest[query.scope]
        meaning = self._meaning(query.text)
        return rank(index, query.text, now=now, meaning=meaning, weights=self.weights, limit=limit)

    def _meaning(self, question: str) -> Meaning | None:
        if self._model is None or not question.strip():
            return None
        if question not in self._asked:
            [self._asked[question]] = self._model.embed([question])
        return Meaning(self._asked[question], self._tokens_of)

    def _tokens_of(self, units: Sequence[str]) -> dict[str, TokenVectors]:
        return {unit: self._tokens[unit] for unit in units if unit in self._tokens}

    def _cut(self, document: Document) -> Iterator[Entry]:
        pieces = passages(document.text)
        self._parts[document.id] = tuple(piece.text for piece in pieces)
        for piece in pieces:
            identifier = f"{document.id}#{piece.part}"
            unit = entry(
                piece.text,
                id=identifier,
                session=document.session,
                ordinal=self._ordinals[document.id],
                part=piece.part,
                time=document.time.timestamp(),
                author=document.author,
                role="" if is_name(document.author) else document.author,
            )
            self._units[identifier] = (document.id, piece.part)
            self._terms[identifier] = frozenset(unit.terms)
            yield unit

    def _excerpt(self, hit: Hit) -> Excerpt:
        identifier, part = self._units[hit.id]
        document = self._documents[identifier]
        return Excerpt(
            turn=identifier,
            part=part,
            parts=self._parts[identifier],
            session=document.session,
            ordinal=self._ordinals[identifier],
            time=document.time,
            author=document.author,
            terms=self._terms[hit.id],
        )
