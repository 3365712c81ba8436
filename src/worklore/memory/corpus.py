"""Documents in memory, searched by the pure cores without a database: the method itself, as the benchmark sees it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from worklore.memory.bench import Document, Injection, Query
from worklore.memory.index import Entry, Index
from worklore.memory.pack import Excerpt, pack
from worklore.memory.rank import WEIGHTS, Hit, Weights, is_name, rank
from worklore.memory.units import entry, passages

_HITS_PER_DOCUMENT = 8
_TOKENS_PER_HIT = 12


class Corpus:
    """A `Search` over documents; each scope has an index of its own."""

    def __init__(self, weights: Weights = WEIGHTS) -> None:
        self._weights = weights

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

    def rank(self, query: Query, limit: int) -> Sequence[str]:
        """See `Search`; a document stands where its best passage does."""
        found: dict[str, None] = {}
        for hit in self._hits(query, limit * _HITS_PER_DOCUMENT):
            found.setdefault(self._units[hit.id][0])
            if len(found) == limit:
                break
        return list(found)

    def recall(self, query: Query, budget: int) -> Injection:
        """See `Search`."""
        hits = self._hits(query, max(100, budget // _TOKENS_PER_HIT))
        packed = pack((self._excerpt(hit) for hit in hits), budget)
        return Injection(packed.text, [shown.excerpt.turn for shown in packed.shown if shown.whole])

    def _hits(self, query: Query, limit: int) -> list[Hit]:
        index = self._indexes[query.scope]
        now = query.time or self._newest[query.scope]
        return rank(index, query.text, now=now, weights=self._weights, limit=limit)

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
