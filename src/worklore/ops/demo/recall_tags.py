"""The normalised tags of made-up contexts, snippets and decisions, as the hub keeps them."""

from worklore.memory.context_tag import BEARERS, ContextTag, normalised_tag
from worklore.ops.demo.rows import Row, Rows


def keep_tags(rows: Rows, table: str, record: Row) -> None:
    """Add the normalised tags of a record of a table."""
    for tag in sorted({normalised_tag(tag) for tag in record["tags"]}):
        rows.add(ContextTag, record["created_at"], **{BEARERS[table]: record["id"]}, tag=tag)
