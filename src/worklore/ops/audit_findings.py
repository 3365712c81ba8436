"""What a verification of the audit finds: what is broken, and what is missing to be sure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Connection

MOST: Final = 1_000
"""Breaks and gaps that are told one by one."""


class Break(BaseModel):
    """The first entry of a chain that is not what was written; or a row of a table that the audit witnesses.

    Attributes:
        table: where the row is.
        field: what is wrong. Of an entry: ``seq`` (one is missing, or is there twice), ``prev_mac`` (it does not follow
            the one before), ``mac`` (its code alone was changed), ``content`` (one of its other fields was changed),
            ``checkpoint`` (another entry stood here, or the checkpoint itself was changed), ``cut`` (the word that a
            chain begins later was changed), ``unchained`` (those from before there were chains are not those that were
            counted). Of a row: ``content``, ``prev_hmac``, ``row_hmac``, ``inserted`` (nothing tells of it),
            ``deleted``, ``batch`` (of a batch of requests a row was changed, added or taken out), ``unwitnessed``
            (those from before there were witnesses are not those that were counted); or the name of a sealed column
            that does not hold what was last written.
    """

    table: str
    chain: str | None = None
    seq: int | None = None
    id: str | None = None
    field: str
    why: str


@dataclass
class Findings:
    """A verification under way.

    Attributes:
        connection: one that reads.
        whole: all entries are looked at; otherwise the first are taken on trust, with all that they say.
        beginnings: by table, what the entries say of those rows that were there before.
    """

    connection: Connection
    whole: bool = True
    breaks: list[Break] = field(default_factory=list[Break])
    missing: list[str] = field(default_factory=list[str])
    beginnings: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict[str, list[Mapping[str, Any]]])

    def broken(self, table: str, what: str, why: str, **place: Any) -> None:
        """Note what is not as it was written."""
        if len(self.breaks) < MOST:
            self.breaks.append(Break(table=table, field=what, why=why, **place))

    def lacks(self, what: str) -> None:
        """Note what is missing, once."""
        if what not in self.missing and len(self.missing) < MOST:
            self.missing.append(what)
