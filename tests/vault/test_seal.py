"""What is sealed opens in its own place, and nowhere else."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from worklore.clients.client import Client
from worklore.kernel import envelope
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.envelope import DamagedError, Label
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import uuid7
from worklore.vault.keys import ClientKey
from worklore.vault.opening import Watch
from worklore.vault.seal import Place, vault_of
from worklore.vault.secret import Secret


def seal(database: Database, place: Place, text: str = "planted canary") -> bytes:
    return database.write(lambda ctx: vault_of(ctx).seal(ctx, Secret(text), place))


def read(database: Database, work: Callable[[ReadContext], Any]) -> Any:
    with database.read(SYSTEM) as ctx:
        return work(ctx)


def opened(database: Database, sealed: bytes, place: Place) -> str:
    return read(database, lambda ctx: vault_of(ctx).open(ctx, sealed, place).reveal())


def refused(database: Database, sealed: bytes, place: Place) -> UnavailableError:
    with pytest.raises(UnavailableError) as error:
        opened(database, sealed, place)
    assert error.value.code == "credential-unreadable"
    return error.value


@given(
    key=st.binary(min_size=32, max_size=32),
    key_id=st.binary(min_size=1, max_size=64),
    generation=st.integers(0, 2**32 - 1),
    value=st.binary(max_size=300),
    bound=st.lists(st.binary(max_size=40), max_size=5),
)
def test_an_envelope_gives_back_what_was_put_in_and_no_two_are_alike(
    key: bytes, key_id: bytes, generation: int, value: bytes, bound: list[bytes]
) -> None:
    label = Label(key_id, generation)
    one, two = (envelope.seal(key, label, "record", value, bound) for _ in range(2))
    assert envelope.read_label(one) == label
    assert envelope.unseal(key, "record", one, bound) == envelope.unseal(key, "record", two, bound) == value
    start = len(label.header())
    for first, last in ((start, start + 32), (start + 32, start + 44), (start + 44, start + 76)):
        assert one[first:last] != two[first:last], "salt, nonce and commitment are of one envelope alone"
    for wrong in (("other", bound), ("record", [*bound, b""]), ("record", [b"".join(bound), b"x"])):
        with pytest.raises(DamagedError):
            envelope.unseal(key, wrong[0], one, wrong[1])


@given(left=st.lists(st.binary(max_size=6), max_size=4), right=st.lists(st.binary(max_size=6), max_size=4))
def test_different_parts_never_give_the_same_bytes(left: list[bytes], right: list[bytes]) -> None:
    assert (envelope.lengths(*left) == envelope.lengths(*right)) == (left == right)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(min_size=1, max_size=400).filter(lambda it: it.isprintable()))
def test_a_secret_comes_back_as_it_was(database: Database, place: Place, text: str) -> None:
    sealed = seal(database, place, text)
    assert text.encode() not in sealed or len(text) < 4
    assert opened(database, sealed, place) == text


def test_it_opens_in_its_own_place_only(database: Database, place: Place, new_client: Callable[[], uuid.UUID]) -> None:
    sealed = seal(database, place)
    other = new_client()
    seal(database, replace(place, client_id=other))
    for moved in (
        replace(place, client_id=other),
        replace(place, client_id=None),
        replace(place, table="credential"),
        replace(place, record_id=uuid7()),
        replace(place, field="token_encrypted"),
        replace(place, version=2),
    ):
        refused(database, sealed, moved)
    assert opened(database, sealed, place) == "planted canary"


def test_one_that_does_not_open_is_audited_and_troubles_no_other(database: Database, place: Place) -> None:
    bad, good = seal(database, place), seal(database, place, "other")
    error = refused(database, bad[:-1] + bytes([bad[-1] ^ 1]), place)
    assert error.status == 503
    assert str(place.record_id) in str(error.problem())
    vault = read(database, vault_of)
    Watch(database, vault, "1").write_down()
    entries = read(
        database,
        lambda ctx: ctx.session.scalars(select(AuditEntry).where(AuditEntry.record_id == place.record_id)).all(),
    )
    assert [(entry.action, entry.outcome, entry.table_name) for entry in entries] == [
        ("open", "unreadable", "credentials")
    ]
    assert entries[0].changed["field"] == "password_encrypted"
    assert opened(database, good, place) == "other"


def test_a_client_has_one_key_however_many_begin_at_once(database: Database, place: Place) -> None:
    sealed: list[bytes] = []
    barrier = Barrier(8)

    def work() -> None:
        barrier.wait()
        sealed.append(seal(database, place))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [opened(database, each, place) for each in sealed] == ["planted canary"] * 8
    counted = select(func.count()).where(ClientKey.client_id == place.client_id)
    assert read(database, lambda ctx: ctx.session.scalar(counted)) == 1


def test_the_secrets_of_a_deleted_client_are_gone(
    database: Database, place: Place, new_client: Callable[[], uuid.UUID]
) -> None:
    other = replace(place, client_id=new_client())
    shredded, kept = seal(database, place), seal(database, other)
    database.write(lambda ctx: ctx.session.delete(ctx.session.get(Client, place.client_id)))
    refused(database, shredded, place)
    assert opened(database, kept, other) == "planted canary"


def test_a_wrapped_key_is_bound_to_its_client(
    database: Database, place: Place, new_client: Callable[[], uuid.UUID]
) -> None:
    other = replace(place, client_id=new_client())
    sealed, kept = seal(database, place), seal(database, other)

    def key_of(ctx: ReadContext, client: uuid.UUID | None) -> ClientKey:
        return ctx.session.scalars(select(ClientKey).where(ClientKey.client_id == client)).one()

    def swap(ctx: Context) -> None:
        key_of(ctx, place.client_id).wrapped_key = key_of(ctx, other.client_id).wrapped_key

    database.write(swap)
    refused(database, sealed, place)
    with pytest.raises(UnavailableError, match="does not open"):
        seal(database, place)
    assert opened(database, kept, other) == "planted canary"


def test_a_dry_run_leaves_no_key(database: Database, place: Place) -> None:
    database.write(lambda ctx: vault_of(ctx).seal(ctx, Secret("x"), place), Operation(dry_run=True))
    assert (
        read(
            database, lambda ctx: ctx.session.scalar(select(func.count()).where(ClientKey.client_id == place.client_id))
        )
        == 0
    )


def test_equal_texts_of_one_client_and_field_have_one_index(
    database: Database, client_id: uuid.UUID, new_client: Callable[[], uuid.UUID]
) -> None:
    other = new_client()

    def index(client: uuid.UUID | None, field: str, text: str) -> bytes:
        return database.write(lambda ctx: vault_of(ctx).blind_index(ctx, client, field, text))

    one = index(client_id, "username", "Admin@Example.com")
    assert len(one) == 32
    assert one == index(client_id, "username", "  admin@example.COM ")
    assert one == read(database, lambda ctx: vault_of(ctx).blind_index(ctx, client_id, "username", "ADMIN@example.com"))
    assert one == index(client_id, "username", "\uff21dmin@example.com"), "a wide letter is the same letter"
    assert (
        len(
            {
                one,
                index(client_id, "serial", "admin@example.com"),
                index(other, "username", "admin@example.com"),
                index(None, "username", "admin@example.com"),
                index(client_id, "username", "admin2@example.com"),
            }
        )
        == 5
    )


def test_a_reader_finds_nothing_of_a_client_without_a_key(database: Database, client_id: uuid.UUID) -> None:
    look = lambda ctx: vault_of(ctx).blind_index(ctx, client_id, "username", "admin")  # noqa: E731 - a look
    assert read(database, look) != read(database, look)


def test_the_database_and_its_audit_hold_no_secret(database: Database, place: Place) -> None:
    sealed = seal(database, place)
    assert b"planted" not in sealed
    entries = read(
        database,
        lambda ctx: ctx.session.scalars(select(AuditEntry).where(AuditEntry.client_id == place.client_id)).all(),
    )
    key = next(entry for entry in entries if entry.table_name == "client_keys")
    assert key.changed["wrapped_key"].keys() == {"sealed", "version"}
