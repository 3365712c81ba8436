"""What is kept of a request to know it again says nothing of the secrets in it to whom has only the database."""

import hashlib
import uuid
from typing import Any

from sqlalchemy import select

from tests.conftest import TestHub, unique
from worklore.kernel.idempotency import IdempotencyKey


def test_the_digest_of_a_request_is_keyed(hub: TestHub, api: Any) -> None:
    key, head = str(uuid.uuid4()), "POST /api/v1/credentials/store?\n\n"
    body = f'{{"credential_type": "password", "service_name": "{unique("x")}", "password": "1234"}}'.encode()
    for _ in range(2):
        answer = api.post("/credentials/store", content=body, headers={"idempotency-key": key})
        assert answer.status_code == 200, "the same request is known again"
    with hub.database.reading.connect() as connection:
        row = connection.execute(select(IdempotencyKey).where(IdempotencyKey.key == key)).one()
    assert len(row.digest) == 64
    guesses = [body, head.encode() + body, f"request:{head}".encode() + body]
    assert row.digest not in {hashlib.sha256(guess).hexdigest() for guess in guesses}
    assert "1234" not in str(row.pointer)
    other = body.replace(b"1234", b"1235")
    refused = api.post("/credentials/store", content=other, headers={"idempotency-key": key})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")
