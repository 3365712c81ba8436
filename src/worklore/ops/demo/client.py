"""All rows of one client, parents before children."""

import uuid
from collections import Counter
from dataclasses import dataclass

from worklore.ops.demo.estate import estate
from worklore.ops.demo.lessons import lessons
from worklore.ops.demo.projects import conclude, projects
from worklore.ops.demo.provider import Provider
from worklore.ops.demo.rows import Row, Rows
from worklore.ops.demo.sessions import History, sessions


@dataclass(frozen=True, slots=True)
class ClientRows:
    """A client's rows. ``windows`` have no sequence numbers yet; ``labels`` counts the uses of each tag."""

    id: uuid.UUID
    name: str
    rows: Rows
    windows: list[Row]
    labels: Counter[uuid.UUID]

    def __len__(self) -> int:
        return len(self.rows) + len(self.windows)


def client(shared: Provider, number: int) -> ClientRows:
    """Make up a client. It depends on the seed, the profile's density and the client's number alone."""
    rows = Rows(shared.chance(number))
    made = estate(rows, shared, number)
    undertakings = projects(rows, shared, made)
    history = History(rows, shared, made)
    sessions(history, undertakings)
    conclude(rows, shared, undertakings)
    lessons(history)
    labels = Counter(
        row["tag_id"] for table, found in rows if table.endswith("_tags") for row in found if "tag_id" in row
    )
    return ClientRows(made.client["id"], made.client["name"], rows, history.windows, labels)
