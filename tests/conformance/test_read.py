"""Getting and listing, for every noun on every database: filters, search, order, paging, selection."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
from sqlalchemy import Date, Float, event

from worklore.kernel.query import filterable, sortable, suffixes
from worklore.kernel.resource import Resource
from worklore.kernel.types import Money, UtcDateTime
from worklore.kernel.wire import wire


def code(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in records]


def among(samples: list[dict[str, Any]]) -> dict[str, str]:
    """The filter that leaves other tests' rows out."""
    return {"id__in": ",".join(ids(samples))}


def comparable(resource: Resource, name: str, value: Any) -> Any:
    return float(value) if value is not None and isinstance(resource.table.c[name].type, Money | Float) else value


def holds(suffix: str, stored: Any, asked: Any) -> bool:
    """What a suffix means, said once more."""
    match suffix:
        case "":
            return stored == asked
        case "ne":
            return stored != asked
        case "isnull":
            return (stored is None) == asked
        case "contains":
            return stored is not None and asked.lower() in stored.lower()
        case "startswith":
            return stored is not None and stored.lower().startswith(asked.lower())
    if stored is None:
        return False
    return {"gt": stored > asked, "gte": stored >= asked, "lt": stored < asked, "lte": stored <= asked}[suffix]


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- get ------------------------------------------------------------------------------------------------------------


def test_a_record_is_read_by_its_id_only(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    record = rows.samples(noun)[0]
    assert record.keys() == wire(noun).fields.keys()
    for field in noun.hidden:
        assert field.key not in record
    for key in (rows.key(), "nonsense", "%00", "0" * 32):
        assert code(api.get(f"/{noun.plural}/{key}")) == (404, "not-found")


def test_what_is_known_already_is_not_sent_again(noun: Resource, sqlite_rows: Any, sqlite_api: httpx2.Client) -> None:
    if not noun.mutable:
        return
    api, route = sqlite_api, f"/{noun.plural}/{sqlite_rows.samples(noun)[0]['id']}"
    tag = api.get(route).headers["etag"]
    for known in (tag, f"W/{tag}", f'"999", {tag}', "*"):
        answer = api.get(route, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), known
    assert api.get(route, headers={"if-none-match": '"999"'}).status_code == 200


def test_fields_are_chosen_left_out_and_brief(noun: Resource, sqlite_rows: Any, sqlite_api: httpx2.Client) -> None:
    api, record = sqlite_api, sqlite_rows.samples(noun)[0]
    every = list(record)
    chosen = [every[-1], every[1]]
    brief = {"id", *(column.key for column in noun.columns)}
    for route, unpack in ((f"/{noun.plural}/{record['id']}", False), (f"/{noun.plural}", True)):
        for parameters, kept in (
            ({"fields": ",".join(chosen)}, set(chosen)),
            ({"omit": ",".join(chosen)}, set(every) - set(chosen)),
            ({"brief": "true"}, brief),
            ({"brief": "false"}, set(every)),
        ):
            answer = api.get(route, params=parameters | ({"id": record["id"]} if unpack else {}))
            shown = answer.json()["items"][0] if unpack else answer.json()
            assert shown == {name: record[name] for name in every if name in kept}, parameters
            assert list(shown) == [name for name in every if name in kept]
        for parameters, problem in (
            ({"fields": "nothing"}, "field-unknown"),
            ({"omit": "nothing"}, "field-unknown"),
            ({"brief": "perhaps"}, "parameter-value"),
            ({"fields": "id", "brief": "true"}, "parameter-value"),
        ):
            assert code(api.get(route, params=parameters)) == (400, problem), parameters
        for hidden in noun.hidden:
            assert code(api.get(route, params={"fields": hidden.key})) == (400, "field-unknown")


def test_what_is_not_understood_is_refused(noun: Resource, sqlite_rows: Any, sqlite_api: httpx2.Client) -> None:
    rows, api = sqlite_rows, sqlite_api
    for parameters, problem in (
        ("surprise=1", "filter-unknown"),
        ("id__contains=1", "filter-unknown"),
        ("id__=1", "filter-unknown"),
        ("id=nonsense", "filter-value"),
        ("sort=surprise", "sort-unknown"),
        ("sort=--id", "sort-unknown"),
        ("limit=0", "parameter-value"),
        ("limit=1001", "parameter-value"),
        ("limit=%C2%B2", "parameter-value"),
        ("offset=-1", "parameter-value"),
        ("offset=000000000000" + "9" * 30, "parameter-value"),
        ("offset=" + "0" * 5000, "parameter-value"),
        ("total=perhaps", "parameter-value"),
        ("after=nonsense", "cursor-invalid"),
        ("limit=1&limit=2", "parameter-repeated"),
        ("id__in=" + ",".join(rows.key() for _ in range(501)), "filter-value"),
    ):
        assert code(api.get(f"/{noun.plural}?{parameters}")) == (400, problem), parameters
    route = f"/{noun.plural}/{rows.samples(noun)[0]['id']}"
    assert code(api.get(route, params={"surprise": "1"})) == (400, "parameter-unknown")


# --- list -----------------------------------------------------------------------------------------------------------


def questions(resource: Resource, samples: list[dict[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """Field, suffix and value of each filter a noun has."""
    for name in filterable(resource):
        value = next((record[name] for record in samples if record[name] is not None), None)
        for suffix in suffixes(resource, name):
            if suffix == "isnull":
                yield from ((name, suffix, True), (name, suffix, False))
            elif value is not None and suffix in {"contains", "startswith"}:
                yield name, suffix, value[:8].upper()
                yield name, suffix, "%_"
            elif value is not None and suffix != "in":
                yield name, suffix, value


def test_each_filter_finds_what_it_says(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    samples = rows.samples(noun)
    for name, suffix, value in questions(noun, samples):
        expected = [
            record["id"]
            for record in samples
            if holds(
                suffix,
                comparable(noun, name, record[name]),
                comparable(noun, name, value) if suffix != "isnull" else value,
            )
        ]
        parameter = f"{name}__{suffix}" if suffix else name
        found = api.get(f"/{noun.plural}", params=among(samples) | {parameter: text(value), "fields": "id"})
        assert found.status_code == 200, (parameter, found.text)
        assert sorted(ids(found.json()["items"])) == sorted(expected), (parameter, value)


def test_one_of_several_values_is_found(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    samples = rows.samples(noun)
    for name in filterable(noun):
        if "in" not in suffixes(noun, name):
            continue
        values = {text(record[name]) for record in samples[:2] if record[name] is not None}
        if not values or any("," in value for value in values):
            continue
        expected = [record["id"] for record in samples if record[name] is not None and text(record[name]) in values]
        asked = {f"{name}__in": ",".join(values)} | ({} if name == "id" else among(samples))
        assert sorted(ids(api.get(f"/{noun.plural}", params=asked).json()["items"])) == sorted(expected), name


def test_words_are_searched_for_whatever_their_case(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    if not noun.search:
        assert code(api.get(f"/{noun.plural}", params={"q": "x"})) == (400, "search-unknown")
        return
    samples = rows.samples(noun)
    for place, field in enumerate(noun.search):
        record = next((sample for sample in samples[place % 2 :] if sample[field.key]), None)
        for turn, word in enumerate((record[field.key] if record else "").split()):
            expected = [
                other["id"]
                for other in samples
                if any(word.lower() in (other[searched.key] or "").lower() for searched in noun.search)
            ]
            shouted = word.upper() if word.upper().lower() == word.lower() else word
            asked = (word, shouted, f" {word}  {word[:2]} ")[(place + turn) % 3]
            found = api.get(f"/{noun.plural}", params=among(samples) | {"q": asked, "fields": "id"})
            assert sorted(ids(found.json()["items"])) == sorted(expected), (field.key, asked)
    assert api.get(f"/{noun.plural}", params=among(samples) | {"q": "\0 nowhere"}).json()["items"] == []


def in_order(resource: Resource, samples: list[dict[str, Any]], name: str, *, down: bool) -> list[str]:
    """NULL before every value, text by code point, ties by id in the direction of the sort."""

    def key(record: dict[str, Any]) -> tuple[bool, Any, str]:
        value = comparable(resource, name, record[name])
        return value is not None, 0 if value is None else value, record["id"]

    return ids(sorted(samples, key=key, reverse=down))


def test_each_order_is_kept_through_all_pages(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    samples = rows.samples(noun)
    for place, name in enumerate(sortable(noun)):
        for down in (False, True):
            expected = in_order(noun, samples, name, down=down)
            asked = among(samples) | {"sort": f"{'-' if down else ''}{name}", "fields": "id"}
            if down == place % 2:
                whole = api.get(f"/{noun.plural}", params=asked | {"total": "true", "offset": "1"}).json()
                assert (ids(whole["items"]), whole["next"], whole["total"]) == (expected[1:], None, 5), name
            else:
                assert paged(api, noun, asked, limit=3) == expected, (name, down)


def paged(api: httpx2.Client, resource: Resource, asked: dict[str, str], limit: int) -> list[str]:
    """All pages of a list by its cursor."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = api.get(f"/{resource.plural}", params=asked | {"limit": str(limit)} | after).json()
        found += ids(page["items"])
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def test_two_keys_of_order_and_a_cursor_of_another_sort(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    samples = rows.samples(noun)
    first, second = sortable(noun)[0], sortable(noun)[-1]
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        asked = among(samples) | {"sort": f"-{first},{second}", "limit": "1"} | after
        page = api.get(f"/{noun.plural}", params=asked).json()
        found += ids(page["items"])
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == ids(
        api.get(f"/{noun.plural}", params=among(samples) | {"sort": f"-{first},{second}"}).json()["items"]
    )
    assert len(found) == len(set(found)) == 5
    assert code(api.get(f"/{noun.plural}", params={"sort": "id"} | after)) == (400, "cursor-invalid")


def test_a_list_costs_the_same_statements_for_any_length(
    noun: Resource, rows: Any, hub: Any, api: httpx2.Client
) -> None:
    samples = rows.samples(noun)
    since = {"since": "2020-01-01T00:00:00Z"} if "created_at" in samples[0] else {}
    statements: list[str] = []
    engines = {hub.database.reading, hub.database.glancing, hub.database.writing}

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    counts: list[int] = []
    hub.hub.gateway.authenticator.forget()  # and look the caller up now, not in the midst of counting
    api.get(f"/{noun.plural}", params={"limit": "1"})
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        for limit in ("1", "5", "1000"):
            statements.clear()
            api.get(
                f"/{noun.plural}",
                params=among(samples) | {"limit": limit, "total": "true"} | since,
            )
            # Who asks is looked up again every few seconds; that is no cost of the list.
            own = [made for made in statements if "api_tokens.token_hash =" not in made and "user_clients" not in made]
            counts.append(len(own))
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    assert len(set(counts)) == 1
    # The page, how many there are, what was deleted, and since when that is known.
    assert counts[0] <= 5, statements


def test_changes_since_a_moment(noun: Resource, rows: Any, api: httpx2.Client) -> None:
    samples = rows.samples(noun)
    if "created_at" not in samples[0]:
        assert code(api.get(f"/{noun.plural}", params={"since": "2026-01-01T00:00:00Z"})) == (400, "parameter-value")
        return
    moment = sorted(record.get("updated_at", record["created_at"]) for record in samples)[2]
    found = api.get(f"/{noun.plural}", params=among(samples) | {"since": moment}).json()
    expected = [record["id"] for record in samples if record.get("updated_at", record["created_at"]) >= moment]
    assert sorted(ids(found["items"])) == sorted(expected)
    assert isinstance(found["deleted"], list)
    for bad in ("yesterday", "2026-01-01T00:00:00"):
        assert code(api.get(f"/{noun.plural}", params={"since": bad})) == (400, "filter-value")


# --- the same on every database -------------------------------------------------------------------------------------

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


OF_ITS_HUB = {
    "task-grant": {"expires_at"},
    "agent": {"owner_id"},
    "credential-audit-log": {"prev_hmac", "row_hmac"},
}
"""Fields that hold the time, who asks, or what the hub's own chains say."""


def momentary(resource: Resource) -> set[str]:
    """The fields that no two databases share, such as the time of their writing."""
    given = OF_ITS_HUB.get(resource.name, set())
    made = {
        column.name
        for column in wire(resource).fields.values()
        if isinstance(column.type, UtcDateTime | Date) and column.default is not None and column.default.is_callable
    }
    if resource.name == "failure-pattern":
        made |= {"first_seen", "last_seen"}
    return made | given | {"created_at", "updated_at"} & wire(resource).fields.keys()


def test_the_same_data_is_the_same_bytes_on_every_database(noun: Resource, equal_rows: list[Any]) -> None:
    omitted = {"omit": ",".join(sorted(momentary(noun)))} if momentary(noun) else {}
    bodies: list[bytes] = []
    for rows in equal_rows:
        made = [rows.create(noun, full=full, id=rows.key()) for full in (True, False, True)]
        for record in made:
            for name in {"created_at", "updated_at"} & record.keys():
                assert TIME.fullmatch(record[name]), record[name]
        answer = rows.api.get(f"/{noun.plural}", params=among(made) | {"sort": "id"} | omitted)
        assert answer.status_code == 200, answer.text
        one = rows.api.get(f"/{noun.plural}/{made[0]['id']}", params=omitted)
        bodies.append(answer.content + one.content)
    assert len(set(bodies)) == 1, bodies
