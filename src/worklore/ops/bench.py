"""Measuring recall over the real path, in a scratch database that is gone afterwards."""

from pathlib import Path
from typing import Any

from worklore.kernel.errors import InvalidError
from worklore.memory.bench import DatasetError, run
from worklore.memory.measure import StoredCorpus
from worklore.memory.peers import Fts5, Grep
from worklore.ops import migrate
from worklore.ops.scratch import scratch


def bench_recall(folder: Path, url: str) -> dict[str, Any]:
    """The figures of a data set, measured in a scratch database beside the one at ``url``, which stays untouched.

    Raises:
        InvalidError: the folder is no data set.
        UnavailableError: the server lets this user make no database.
    """
    with scratch(url) as database:
        migrate.upgrade(database)
        try:
            measured = run(folder, StoredCorpus(database), peers={"fts5": Fts5(), "grep": Grep()})
        except DatasetError as error:
            raise InvalidError(
                f"{error}.", hint="Name a folder with meta.json, documents.jsonl, queries.jsonl."
            ) from error
        return measured | {"database": database.dialect}
