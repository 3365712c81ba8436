"""Vectors that have been made once, kept in a file: for measuring again and again what is the same text each time."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from worklore.memory.embed import DIMENSIONS, MODEL, Embedding

_CHUNK: Final = 64  # texts read before they are written: an interrupted run loses no more


class Model(Protocol):
    """What makes vectors of texts."""

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """The vectors of texts, in their order."""
        ...


class Kept:
    """A model that reads no text twice. The file may be deleted at any time; it holds no text, only digests."""

    def __init__(self, model: Model, path: Path) -> None:
        self._model = model
        self._file = sqlite3.connect(path)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, pooled BLOB, tokens BLOB, spans BLOB)"
        )

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """The vectors of texts, in their order."""
        keys = [hashlib.sha256(f"{MODEL}\n{text}".encode()).digest() for text in texts]
        found = {key: held for key in set(keys) if (held := self._read(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        waiting = list(missing.items())
        for start in range(0, len(waiting), _CHUNK):
            some = waiting[start : start + _CHUNK]
            for (key, _), made in zip(some, self._model.embed([text for _, text in some]), strict=True):
                self._write(key, made)
                found[key] = made
            self._file.commit()
        return [found[key] for key in keys]

    def _read(self, key: bytes) -> Embedding | None:
        row = self._file.execute("SELECT pooled, tokens, spans FROM vectors WHERE text = ?", (key,)).fetchone()
        if row is None:
            return None
        pooled, tokens, spans = row
        places = np.frombuffer(spans, np.int32).reshape(-1, 2).tolist()
        return Embedding(
            np.frombuffer(pooled, np.float32),
            np.frombuffer(tokens, np.int8).reshape(-1, DIMENSIONS),
            tuple((start, end) for start, end in places),
        )

    def _write(self, key: bytes, made: Embedding) -> None:
        spans = np.asarray(made.spans, np.int32).tobytes()
        row = (key, made.pooled.astype(np.float32).tobytes(), made.tokens.tobytes(), spans)
        self._file.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", row)
