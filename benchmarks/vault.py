"""What it costs to seal a secret and to open it: by itself, and from the database.

python -m benchmarks.vault
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worklore.app import build
from worklore.kernel import envelope
from worklore.kernel.access import SYSTEM
from worklore.kernel.envelope import Label
from worklore.kernel.settings import Settings
from worklore.kernel.types import uuid7
from worklore.vault.seal import Place, vault_of
from worklore.vault.secret import Secret

ROUNDS = 5_000


def micros(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The best of five runs, in microseconds for each call."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            work()
        best = min(best, time.perf_counter() - began)
    return best / rounds * 1e6


def main() -> None:
    """Print the table."""
    key, value, bound = os.urandom(32), os.urandom(64), (b"place" * 20,)
    label = Label(os.urandom(16), 1)
    sealed = envelope.seal(key, label, "record", value, bound)
    plain = AESGCM(key)
    rows = [
        ("AES-256-GCM alone, 64 bytes", micros(lambda: plain.encrypt(os.urandom(12), value, b""))),
        ("seal an envelope, 64 bytes", micros(lambda: envelope.seal(key, label, "record", value, bound))),
        ("open an envelope, 64 bytes", micros(lambda: envelope.unseal(key, "record", sealed, bound))),
    ]
    with tempfile.TemporaryDirectory() as folder:
        hub = build(Settings(data=Path(folder)))
        place = Place(None, "credentials", uuid7(), "password_encrypted")
        secret = Secret("x" * 64)
        stored = hub.database.write(lambda ctx: vault_of(ctx).seal(ctx, secret, place))
        with hub.database.read(SYSTEM) as ctx:
            rows.append(
                (
                    "open a secret, its client's key known to the session",
                    micros(lambda: vault_of(ctx).open(ctx, stored, place), 500),
                )
            )

        def fresh() -> None:
            with hub.database.read(SYSTEM) as ctx:
                vault_of(ctx).open(ctx, stored, place)

        rows.append(("open a secret in a session of its own, SQLite", micros(fresh, 200)))
        hub.close()
    for name, cost in rows:
        print(f"{name:<55} {cost:8.1f} µs")


if __name__ == "__main__":
    main()
