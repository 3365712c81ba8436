"""Values that read back equal on each database, ids that ascend, and a parser that only ever refuses."""

import base64
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Date, Float, Integer, MetaData, Table, insert, select

from worklore.kernel.errors import BadRequestError
from worklore.kernel.query import statement, understand
from worklore.kernel.transaction import Database
from worklore.kernel.types import Id, Json, Line, Money, Prose, UtcDateTime, uuid7
from worklore.kernel.wire import clean_json
from worklore.resources import CATALOG, RESOURCES

CALM = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def test_ids_ascend_in_one_thread_and_differ_among_many() -> None:
    made: list[list[uuid.UUID]] = [[] for _ in range(4)]

    def work(mine: list[uuid.UUID]) -> None:
        mine.extend(uuid7() for _ in range(3000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in made:
        assert mine == sorted(mine)
        assert [str(key) for key in mine] == sorted(str(key) for key in mine)
    every = {key for mine in made for key in mine}
    assert len(every) == 12_000
    assert {(key.version, key.variant) for key in every} == {(7, uuid.RFC_4122)}
    age = datetime.now(UTC).timestamp() - (max(every).int >> 80) / 1000
    assert -0.1 < age < 60


@pytest.fixture(scope="session")
def table(database: Database) -> Iterator[Table]:
    kinds = {
        "moment": UtcDateTime(),
        "key": Id(),
        "money": Money(),
        "tree": Json(),
        "line": Line(400),
        "prose": Prose(),
        "number": Integer(),
        "real": Float(53),
        "truth": Boolean(),
        "day": Date(),
    }
    made = Table(
        "round_trip", MetaData(), Column("n", Integer, primary_key=True), *(Column(*kind) for kind in kinds.items())
    )
    made.create(database.writing)
    yield made
    made.drop(database.writing)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100)
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
zones = st.timezones() | st.just(UTC)
records = st.fixed_dictionaries(
    {
        "moment": st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
        "key": st.uuids(version=4) | st.builds(uuid7),
        "money": st.decimals(Decimal("-99999999.99"), Decimal("99999999.99"), places=2),
        "tree": st.dictionaries(words, trees, max_size=3) | st.lists(trees, max_size=3),
        "line": words,
        "prose": words,
        "number": st.integers(-(2**31), 2**31 - 1),
        "real": st.floats(
            allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300, allow_subnormal=False
        ),
        "truth": st.booleans(),
        "day": st.dates(datetime(1000, 1, 1).date(), datetime(9999, 12, 31).date()),  # noqa: DTZ001 - days have no zone
    }
)


@CALM
@given(record=records)
def test_what_is_stored_is_what_is_read(database: Database, table: Table, record: dict[str, Any]) -> None:
    with database.writing.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(table), [record | {"n": 1}])
        row = connection.execute(select(table)).mappings().one()
        transaction.rollback()
    read = {name: row[name] for name in record}
    assert read == record
    assert orjson.dumps(read["tree"]) == orjson.dumps(record["tree"])


def test_a_time_keeps_its_moment_and_must_have_a_zone(database: Database, table: Table) -> None:
    east = datetime.fromisoformat("2026-11-21T02:03:04.000005+05:45")
    with database.writing.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(table), [{"n": 2, "moment": east}])
        assert connection.execute(select(table.c.moment)).scalar_one() == east
        assert connection.execute(select(table.c.moment)).scalar_one().utcoffset() == timedelta(0)
        transaction.rollback()
    with database.writing.connect() as connection, pytest.raises(Exception, match="without a zone"):
        connection.execute(insert(table), [{"n": 3, "moment": datetime(2026, 1, 1)}])  # noqa: DTZ001 - what is refused


# --- list parameters ------------------------------------------------------------------------------------------------

NAMES = sorted({name for resource in RESOURCES for name in resource.table.c.keys()})  # noqa: SIM118 - no dictionary
parameters = st.tuples(
    st.sampled_from(["q", "sort", "limit", "offset", "after", "since", "total", "fields", "omit", "brief"])
    | st.builds(
        lambda name, end: f"{name}{end}",
        st.sampled_from(NAMES),
        st.sampled_from(["", "__", "__ne", "__in", "__isnull", "__gt", "__lte", "__contains", "__startswith"]),
    )
    | st.text(max_size=10),
    st.text(max_size=40) | st.sampled_from(NAMES) | st.integers().map(str) | st.floats().map(str) | st.uuids().map(str),
)


@settings(max_examples=400, deadline=None)
@given(resource=st.sampled_from(RESOURCES), asked=st.lists(parameters, max_size=4))
def test_parameters_are_understood_or_refused(resource: Any, asked: list[tuple[str, str]]) -> None:
    try:
        ask = understand(resource, asked)
    except BadRequestError as refused:
        orjson.dumps(refused.problem() | {"detail": refused.detail.encode(errors="replace").decode()})
        return
    statement(resource, ask, None)


@settings(max_examples=300, deadline=None)
@given(
    resource=st.sampled_from(RESOURCES),
    sort=st.sampled_from(["id", "-id", "created_at", "-created_at,id"]),
    values=st.lists(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()), max_size=4
    ),
    wrap=st.booleans(),
)
def test_a_cursor_somebody_made_up_is_understood_or_refused(
    resource: Any, sort: str, values: list[Any], *, wrap: bool
) -> None:
    order = sort if sort.endswith("id") else f"{sort},{'-' if sort[0] == '-' else ''}id"
    try:
        made = orjson.dumps([order, *values] if wrap else values)
    except orjson.JSONEncodeError:
        made = repr(values).encode(errors="replace")
    text = base64.urlsafe_b64encode(made).decode().rstrip("=")
    try:
        ask = understand(resource, [("sort", sort), ("after", text)])
    except BadRequestError:
        return
    statement(resource, ask, None)


def test_json_is_bounded() -> None:
    deep: Any = "bottom"
    for _ in range(39):
        deep = [deep]
    assert clean_json(deep) is deep
    for bad in ([[deep]], {"a": 2**63}, [float("nan")], {"\0": 1}, ["\ud800"]):
        with pytest.raises(ValueError, match=r"nest|64 bits|finite|NUL|surrogates"):
            clean_json(bad)
    assert CATALOG.by_name.keys()
