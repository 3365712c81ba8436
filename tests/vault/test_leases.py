"""A lease lets somebody use a secret. Each use is on record before it happens, and what ends the lease ends that."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, update

from tests.conftest import TestHub, unique
from tests.vault.agents import Agent, new_agent, person, technician
from tests.vault.test_credentials import REASON, ask, code, renamed, stored, touches
from worklore.identity.agent import Agent as AgentRow
from worklore.identity.agent import TaskGrant
from worklore.identity.machine import Machine
from worklore.identity.token import TokenKind
from worklore.identity.user import User
from worklore.kernel.access import Principal
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.transaction import Operation
from worklore.kernel.types import utcnow
from worklore.vault.credential import Credential, CredentialAuditLog, SecretField
from worklore.vault.grant import CredentialPermission
from worklore.vault.lease import CredentialLease, use

FIELDS = {"fields": ["password"]}


def leased(api: httpx2.Client, key: str, **more: Any) -> dict[str, Any]:
    answer = ask(api, key, "lease", purpose="restart the service", **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def inject(api: httpx2.Client, lease: str, **more: Any) -> httpx2.Response:
    return api.post(f"/credential-leases/{lease}/inject", json=FIELDS, **more)


def used(hub: TestHub, lease: str, principal: Principal) -> str:
    """Use a lease below the surface, where no token is looked at."""

    def work(ctx: Context) -> str:
        row = ctx.session.get_one(CredentialLease, uuid.UUID(lease))
        return use(ctx, row, [SecretField.password])[SecretField.password].reveal()

    return hub.database.write(work, Operation(principal))


@pytest.fixture
def agent(hub: TestHub) -> Agent:
    return new_agent(hub, technician(hub))


def test_a_secret_is_used_by_a_lease_and_each_use_is_on_record(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, agent: Agent
) -> None:
    key = stored(api, client_id, password="planted", token="other")["id"]
    lease = leased(agent.api, key)
    assert 800 < lease["seconds"] <= 900
    answer = inject(agent.api, lease["id"])
    assert (answer.json()["secrets"], answer.headers["cache-control"]) == ({"password": "planted"}, "no-store")
    renewed = agent.api.post(f"/credential-leases/{lease['id']}/renew", json={"seconds": 60}).json()
    assert 0 < renewed["seconds"] <= 60
    told = api.get(f"/credential-leases/{lease['id']}").json()
    assert (told["use_count"], told["purpose"], told["task_grant_id"]) == (1, "restart the service", agent.grant)
    assert told["expires_at"] == renewed["expires_at"]
    assert agent.api.post(f"/credential-leases/{lease['id']}/release").json()["seconds"] == 0
    for answer in (inject(agent.api, lease["id"]), agent.api.post(f"/credential-leases/{lease['id']}/renew", json={})):
        assert code(answer) == (409, "lease-ended")
    row = touches(api, key)[-1]
    assert (row["action"], row["details"]["fields"]) == ("use", ["password"])
    assert row["user_id"].startswith("agent:")
    assert (row["details"]["lease"], row["details"]["purpose"]) == (lease["id"], "restart the service")
    assert [each["action"] for each in touches(api, key)] == ["create", "use"]


def test_neither_an_agent_nor_a_machine_is_shown_what_it_may_use(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, agent: Agent
) -> None:
    key = stored(api, client_id, password="planted")["id"]
    machine = hub.client(hub.token(kind=TokenKind.machine))
    assert code(ask(agent.api, key, "reveal", reason=REASON)) == (403, "scope-missing")
    for answer in (
        ask(machine, key, "reveal", reason=REASON),
        ask(machine, key, "share", recipient="kim@example.com"),
        ask(hub.client(hub.token()), key, "reveal", reason=REASON),
    ):
        assert code(answer) == (403, "person-needed")
        assert "planted" not in answer.text
    assert inject(machine, leased(machine, key)["id"]).json()["secrets"] == {"password": "planted"}


def test_a_lease_is_of_whoever_took_it(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, agent: Agent) -> None:
    key = stored(api, client_id, password="planted")["id"]
    lease = leased(agent.api, key)["id"]
    same_person = technician(hub)
    for caller in (api, same_person, new_agent(hub, technician(hub)).api):
        for verb, sent in (("inject", FIELDS), ("renew", {})):
            assert code(caller.post(f"/credential-leases/{lease}/{verb}", json=sent)) == (403, "not-yours")
    assert code(same_person.post(f"/credential-leases/{lease}/release")) == (403, "not-yours")
    assert inject(agent.api, lease).status_code == 200
    assert api.post(f"/credential-leases/{lease}/release").status_code == 200
    assert code(inject(agent.api, lease)) == (409, "lease-ended")


def test_a_lease_has_bounds_and_cannot_be_tried_out(api: httpx2.Client, client_id: uuid.UUID) -> None:
    key = stored(api, client_id, password="planted")["id"]
    for seconds in (0, 3601, "x"):
        assert code(ask(api, key, "lease", purpose="restart", seconds=seconds)) == (422, "invalid")
    assert code(ask(api, key, "lease", purpose=" x ")) == (422, "invalid")
    lease = leased(api, key, seconds=3600)["id"]
    assert code(inject(api, lease, params={"dry_run": "true"})) == (400, "parameter-value")
    assert code(api.post(f"/credential-leases/{lease}/inject", json={"fields": ["token"]})) == (409, "secret-absent")
    assert code(api.post(f"/credential-leases/{lease}/inject", json={"fields": []})) == (422, "invalid")
    once = {"idempotency-key": unique("key")}
    answers = [inject(api, lease, headers=once) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 422]
    assert "planted" not in answers[1].text
    assert [row["action"] for row in touches(api, key)] == ["create", "use"]
    assert api.delete(f"/credential-leases/{lease}").status_code == 204
    assert code(inject(api, lease)) == (404, "not-found")
    assert ask(api, key, "shred").status_code == 200
    assert code(ask(api, key, "lease", purpose="restart")) == (409, "credential-inactive")


def test_without_its_row_a_secret_is_not_used(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID) -> None:
    lease = leased(api, stored(api, client_id, password="planted")["id"])["id"]
    with renamed(hub, CredentialAuditLog.__tablename__):
        answer = inject(api, lease)
    assert answer.status_code == 500
    assert "planted" not in answer.text
    assert api.get(f"/credential-leases/{lease}").json()["use_count"] == 0


NOW = utcnow()
ENDS: dict[str, Callable[[Any, str, str], Any]] = {
    "its time is over": lambda _, lease, __: (
        update(CredentialLease).where(CredentialLease.id == uuid.UUID(lease)).values(expires_at=NOW)
    ),
    "the grant of its task has ended: revoked": lambda who, *_: (
        update(TaskGrant).where(TaskGrant.id == who.task_grant_id).values(revoked_at=NOW)
    ),
    "the grant of its task has ended: by itself": lambda who, *_: (
        update(TaskGrant).where(TaskGrant.id == who.task_grant_id).values(expires_at=NOW)
    ),
    "the grant of its task has ended: gone": lambda who, *_: delete(TaskGrant).where(TaskGrant.id == who.task_grant_id),
    "its owner was disabled": lambda who, *_: update(User).where(User.id == who.user_id).values(is_active=False),
    "the agent was disabled": lambda who, *_: (
        update(AgentRow).where(AgentRow.id == who.agent_id).values(is_active=False)
    ),
    "the machine was retired": lambda who, *_: (
        update(Machine).where(Machine.id == who.machine_id).values(is_active=False)
    ),
    "the credential was retired": lambda _, __, key: (
        update(Credential).where(Credential.id == uuid.UUID(key)).values(is_active=False)
    ),
    "the permission to use the credential was taken away: gone": lambda who, _, key: delete(CredentialPermission).where(
        CredentialPermission.credential_id == uuid.UUID(key), CredentialPermission.user_id == str(who.user_id)
    ),
    "the permission to use the credential was taken away: less": lambda who, _, key: (
        update(CredentialPermission)
        .where(CredentialPermission.credential_id == uuid.UUID(key), CredentialPermission.user_id == str(who.user_id))
        .values(permission_level="read")
    ),
}
"""What ends a lease, behind the back of whoever uses it."""


def test_whatever_ends_a_lease_is_seen_at_the_next_use(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID) -> None:
    for what, end in ENDS.items():
        owner = technician(hub)
        agent = new_agent(hub, owner)
        machine = api.post("/machines", json={"hostname": unique("host")}).raise_for_status().json()["id"]
        who = Principal(
            agent.principal.kind,
            agent.principal.actor,
            agent.principal.scopes,
            user_id=agent.principal.user_id,
            machine_id=uuid.UUID(machine),
            agent_id=agent.principal.agent_id,
            task_grant_id=agent.principal.task_grant_id,
        )
        key = stored(api, client_id, password="planted")["id"]
        named = {"user_id": person(owner), "permission_level": "use"}
        assert ask(api, key, "permit", **named).status_code == 200
        assert api.patch(f"/credentials/{key}", json={"is_restricted": True}).status_code == 200
        lease = leased(agent.api, key)["id"]
        with hub.database.writing.begin() as connection:
            of_machine = update(CredentialLease).where(CredentialLease.id == uuid.UUID(lease))
            connection.execute(of_machine.values(machine_id=who.machine_id))
        assert used(hub, lease, who) == "planted"
        before = touches(api, key)
        with hub.database.writing.begin() as connection:
            assert connection.execute(end(who, lease, key)).rowcount == 1
        with pytest.raises(ConflictError) as ended:
            used(hub, lease, who)
        assert (ended.value.code, what.partition(":")[0]) == ("lease-ended", ended.value.members["reason"])
        assert touches(api, key) == before


def test_a_lease_ends_with_its_grant_and_goes_on_with_one_that_is_renewed(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID
) -> None:
    owner = technician(hub)
    agent = new_agent(hub, owner, life=timedelta(seconds=60))
    key = stored(api, client_id, password="planted")["id"]
    lease = leased(agent.api, key, seconds=3600)
    grant = api.get(f"/task-grants/{agent.grant}").json()
    assert lease["expires_at"] == grant["expires_at"]
    later = {"expires_at": (utcnow() + timedelta(hours=1)).isoformat()}
    assert owner.patch(f"/task-grants/{agent.grant}", json=later).status_code == 200
    renewed = agent.api.post(f"/credential-leases/{lease['id']}/renew", json={"seconds": 1800}).json()
    assert 1700 < renewed["seconds"] <= 1800


def test_one_who_is_used_often_counts_each(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID) -> None:
    key = stored(api, client_id, password="planted")["id"]
    lease = leased(api, key)["id"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(partial(inject, api), [lease] * 16))
    assert {answer.status_code for answer in answers} == {200}
    assert api.get(f"/credential-leases/{lease}").json()["use_count"] == 16
    assert [row["action"] for row in touches(api, key)].count("use") == 16
