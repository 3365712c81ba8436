"""What was changed in the database does not open, whatever was changed, and asking for it breaks nothing.

`make mutations` asks for all 100,000; the suite takes a tenth.
"""

import hashlib
import hmac
import os
import random
from collections import Counter
from dataclasses import replace

import pytest
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF

from tests.conftest import TestHub
from worklore.kernel import envelope
from worklore.kernel.access import SYSTEM
from worklore.kernel.envelope import DamagedError, Label
from worklore.kernel.errors import UnavailableError
from worklore.kernel.types import uuid7
from worklore.vault.hierarchy import newest_client_key, unwrap
from worklore.vault.seal import Place, vault_of
from worklore.vault.secret import Secret

MUTATIONS = int(os.environ.get("WORKLORE_MUTATIONS", "10000"))
SEED = int(os.environ.get("WORKLORE_SEED", "20261121"))
Stored = dict[Place, tuple[bytes, str]]


@pytest.fixture
def stored(sqlite_hub: TestHub) -> Stored:
    """Sixty secrets of two clients and the installation, of each table that holds any: two numbers of each field."""
    from tests.vault.conftest import make_client  # noqa: PLC0415 - a folder of tests

    places = [
        Place(client, "credentials", row, field, version)
        for client in (make_client(sqlite_hub.database), make_client(sqlite_hub.database))
        for row in (uuid7() for _ in range(5))
        for field in ("password_encrypted", "token_encrypted")
        for version in (1, 2)
    ]
    places += [
        Place(None, table, row, field, version)
        for table, field in (("integration_credentials", "api_key_encrypted"), ("configurations", "value_encrypted"))
        for row in (uuid7() for _ in range(5))
        for version in (1, 2)
    ]
    texts = [f"secret {number} of {place.record_id}" for number, place in enumerate(places)]
    return sqlite_hub.database.write(
        lambda ctx: {
            place: (vault_of(ctx).seal(ctx, Secret(text), place), text)
            for place, text in zip(places, texts, strict=True)
        }
    )


def flipped(sealed: bytes, chance: random.Random) -> bytes:
    """One to eight bits are others."""
    changed = bytearray(sealed)
    for bit in chance.sample(range(len(sealed) * 8), chance.randint(1, 8)):
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut(sealed: bytes, chance: random.Random) -> bytes:
    """A part is missing, or something was put in."""
    start, end = sorted(chance.choices(range(len(sealed) + 1), k=2))
    return (
        sealed[:start] + sealed[max(end, start + 1) :]
        if chance.random() < 0.7
        else (sealed[:start] + chance.randbytes(chance.randint(1, 40)) + sealed[start:])
    )


def spliced(sealed: bytes, other: bytes, chance: random.Random) -> bytes:
    """The beginning of one and the end of another."""
    at = chance.randint(1, min(len(sealed), len(other)) - 1)
    return sealed[:at] + other[at:]


def elsewhere(place: Place, part: str, chance: random.Random) -> Place:
    """Another place, in one part of it."""
    if part == "field":
        return replace(place, field=chance.choice(("totp_seed_encrypted", "password", f"{place.field}_")))
    if part == "version":
        return replace(place, version=place.version + chance.randint(1, 2**40))
    if part == "table":
        others = {"credentials", "integration_credentials", "configurations"} - {place.table}
        return replace(place, table=chance.choice(sorted(others)))
    if place.client_id is None:
        return replace(place, client_id=uuid7())
    return replace(place, client_id=chance.choice((None, uuid7(), place.record_id)))


def mutated(kind: str, place: Place, other: Place, stored: Stored, chance: random.Random) -> tuple[bytes, Place]:
    """What is opened, and where it is said to stand."""
    sealed = stored[place][0]
    match kind:
        case "flip":
            return flipped(sealed, chance), place
        case "cut":
            return cut(sealed, chance), place
        case "splice":
            return spliced(sealed, stored[other][0], chance), place
        case "swap":
            return sealed, other
        case "noise":
            return chance.randbytes(chance.randint(0, 300)), place
        case _:
            return sealed, elsewhere(place, kind, chance)


def test_no_mutation_opens(sqlite_hub: TestHub, stored: Stored) -> None:
    chance = random.Random(SEED)
    refused: Counter[str] = Counter()
    vault = sqlite_hub.hub.vault
    with sqlite_hub.database.read(SYSTEM) as ctx:
        for _ in range(MUTATIONS):
            kind = chance.choice(("flip", "cut", "splice", "swap", "field", "version", "table", "client", "noise"))
            sealed, place = mutated(kind, *chance.sample(list(stored), 2), stored, chance)
            if place in stored and stored[place][0] == sealed:
                continue
            with pytest.raises(UnavailableError) as error:
                vault.open(ctx, sealed, place)
            assert error.value.code == "credential-unreadable", (SEED, kind)
            refused[kind] += 1
        still = {place: vault.open(ctx, sealed, place).reveal() for place, (sealed, _) in stored.items()}
    assert still == {place: text for place, (_, text) in stored.items()}
    while not vault.unreadable.empty():  # they are not for the audit log of the other tests
        vault.unreadable.get_nowait()
    print(f"refused: {refused.total()} of {MUTATIONS}, {dict(refused)}, seed {SEED}")  # noqa: T201 - with pytest -s
    assert refused.total() >= MUTATIONS * 0.99
    assert len(refused) == 9


def second_opinion(key: bytes, sealed: bytes, purpose: str, bound: list[bytes]) -> bytes:
    """An envelope, opened by the words of the form and another library."""
    size = sealed[4]
    header, rest = sealed[: 9 + size], sealed[9 + size :]
    salt, nonce, commitment, body, tag = rest[:32], rest[32:44], rest[44:76], rest[76:-16], rest[-16:]
    own, expected = HKDF(key, 32, salt, SHA256, 2, f"worklore/{purpose}/v1".encode())
    assert commitment == expected
    cipher = AES.new(own, AES.MODE_GCM, nonce=nonce)
    cipher.update(b"".join(len(part).to_bytes(4, "big") + part for part in (purpose.encode(), header, *bound)))
    return cipher.decrypt_and_verify(body, tag)


def test_a_second_library_reads_what_ours_writes() -> None:
    chance = random.Random(SEED)
    for _ in range(300):
        key, value = chance.randbytes(32), chance.randbytes(chance.randint(0, 500))
        bound = [chance.randbytes(chance.randint(0, 30)) for _ in range(chance.randint(0, 4))]
        sealed = envelope.seal(key, Label(chance.randbytes(16), chance.randint(0, 9)), "record", value, bound)
        assert second_opinion(key, sealed, "record", bound) == value


def test_our_own_reads_what_a_second_library_writes() -> None:
    chance = random.Random(SEED)
    for _ in range(300):
        key, salt, nonce = chance.randbytes(32), chance.randbytes(32), chance.randbytes(12)
        value, bound = chance.randbytes(chance.randint(0, 500)), [chance.randbytes(9)]
        header = b"WLV\x01\x10" + chance.randbytes(16) + chance.randint(0, 9).to_bytes(4, "big")
        own, commitment = HKDF(key, 32, salt, SHA256, 2, b"worklore/record/v1")
        cipher = AES.new(own, AES.MODE_GCM, nonce=nonce)
        cipher.update(b"".join(len(part).to_bytes(4, "big") + part for part in (b"record", header, *bound)))
        body, tag = cipher.encrypt_and_digest(value)
        sealed = header + salt + nonce + commitment + body + tag
        assert envelope.unseal(key, "record", sealed, bound) == value


def test_a_second_library_goes_the_whole_way_from_the_keyring_to_the_secret(
    sqlite_hub: TestHub, stored: Stored
) -> None:
    """The names, the order and the lengths of all that a value is bound to are those that the form says."""
    vault = sqlite_hub.hub.vault
    installation = vault._installation.bytes
    place, (sealed, text) = next(item for item in stored.items() if item[0].client_id is not None)
    assert place.client_id is not None

    def together(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    with sqlite_hub.database.read(SYSTEM) as ctx:
        row = newest_client_key(ctx, place.client_id)
        assert row is not None
        (by,) = vault.keyring
        bound = together(installation, place.client_id.bytes, row.id.bytes, row.generation.to_bytes(4, "big"))
        client_key = second_opinion(by.secret, row.wrapped_key, "client-key", [bound])
        assert client_key == unwrap(row, vault.keyring, vault._installation).secret
        index = vault.blind_index(ctx, place.client_id, "username", " ADMIN")
    bound = together(
        installation,
        place.client_id.bytes,
        b"credentials",
        place.record_id.bytes,
        place.field.encode(),
        place.version.to_bytes(8, "big"),
    )
    assert second_opinion(client_key, sealed, "record", [bound]).decode() == text
    info = together(b"worklore/blind-index/v1", place.client_id.bytes, b"username")
    own = HKDF(client_key, 32, b"", SHA256, 1, info)
    assert hmac.new(own, b"admin", hashlib.sha256).digest() == index


def test_a_key_that_was_not_committed_to_is_refused_before_it_decrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = envelope.seal(b"k" * 32, Label(b"id"), "record", b"value", ())

    def decrypt(*_: object) -> bytes:
        raise AssertionError("it was asked to decrypt")

    monkeypatch.setattr(envelope.AESGCM, "decrypt", decrypt, raising=False)
    with pytest.raises(DamagedError):
        envelope.unseal(b"o" * 32, "record", sealed, ())
