"""Measuring recall over the real path, in a scratch database that is gone afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from worklore.kernel.errors import InvalidError, UnavailableError
from worklore.memory import identifiers
from worklore.memory.bench import Dataset, DatasetError, Search, compare, load_dataset
from worklore.memory.corpus import Corpus
from worklore.memory.embed import ModelUnavailableError, embedder
from worklore.memory.kept import Kept, Model
from worklore.memory.measure import StoredCorpus
from worklore.memory.peers import Dense, Fts5, Grep, Hybrid
from worklore.memory.tune import Tuning, tune
from worklore.ops import migrate
from worklore.ops.scratch import scratch

_HINT: Final = "Name a folder with meta.json, documents.jsonl, queries.jsonl."


def bench_recall(folder: Path, url: str) -> dict[str, Any]:
    """The figures of a data set, measured in a scratch database beside the one at ``url``, which stays untouched.

    Raises:
        InvalidError: the folder is no data set.
        UnavailableError: the server lets this user make no database.
    """
    try:
        dataset = load_dataset(folder)
    except DatasetError as error:
        raise InvalidError(f"{error}.", hint=_HINT) from error
    return _compared(dataset, url)


def bench_identifiers(url: str, *, names: int = 300, seed: int = 0) -> dict[str, Any]:
    """The figures of names that are asked for otherwise than they are written: see `worklore.memory.identifiers`.

    Raises:
        UnavailableError: the server lets this user make no database.
    """
    return _compared(identifiers.dataset(names, seed), url)


def _compared(dataset: Dataset, url: str) -> dict[str, Any]:
    with scratch(url) as database:
        migrate.upgrade(database)
        try:
            measured = compare(dataset, StoredCorpus(database), peers=_peers())
        except DatasetError as error:
            raise InvalidError(f"{error}.", hint="A search said more than its budget: that is a fault.") from error
        return measured | {"database": database.dialect}


def _peers() -> dict[str, Search]:
    """The searches a result stands beside; those by meaning where there is a model, which is ours."""
    plain: dict[str, Search] = {"fts5": Fts5(), "grep": Grep()}
    model = embedder()
    return plain if isinstance(model, ModelUnavailableError) else plain | {"dense": Dense(model), "rrf": Hybrid(model)}


def bench_tune(
    folder: Path,
    *,
    words: bool = False,
    rounds: int = 3,
    seed: int = 0,
    keep: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """What each signal of the ranking is worth on a development data set, and better weights. Changes nothing.

    Args:
        folder: the data set.
        words: whether the weights for words alone are searched, without the model.
        rounds: most times that all weights are tried.
        seed: of the intervals.
        keep: a file that keeps the vectors for the next time; none without it.
        progress: told one line for each step.

    Raises:
        InvalidError: the folder is no data set, or one kept for testing.
        UnavailableError: there is no model, and words alone were not asked for.
    """
    try:
        corpus = Corpus(model=None if words else _model(keep))
        return tune(
            Tuning(load_dataset(folder), corpus), meaning=not words, rounds=rounds, seed=seed, progress=progress
        )
    except DatasetError as error:
        raise InvalidError(f"{error}.", hint=_HINT) from error


def _model(keep: Path | None) -> Model:
    model = embedder()
    if isinstance(model, ModelUnavailableError):
        raise UnavailableError(f"{model}", hint="With --words the weights for words alone are searched.")
    return model if keep is None else Kept(model, keep)
