"""The secrets of integrations: given, replaced, removed, and tried out at the system that they are for."""

import base64
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Self

from worklore.integrations.credential import (
    INTEGRATION_SECRETS,
    IntegrationCredential,
    IntegrationCredentialType,
    IntegrationSecret,
)
from worklore.integrations.probe import Probe, ProbeOutcome, ProbeResult, Target, ask
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import record_event
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError, NotFoundError
from worklore.kernel.wire import WireModel
from worklore.vault.revealing import Given


class IntegrationSecrets(WireModel):
    """Secrets to seal. None of them is ever shown again; the hub uses them."""

    api_key: Given | None = None
    oauth_token: Given | None = None
    oauth_refresh_token: Given | None = None
    password: Given | None = None


class HeldIntegration(WireModel):
    """An integration credential, and which secrets it holds; never a secret itself."""

    id: uuid.UUID
    integration_name: str
    credential_type: IntegrationCredentialType
    holds: list[IntegrationSecret]
    key_id: str | None
    last_rotated_at: datetime | None
    is_active: bool
    version: int

    @classmethod
    def of(cls, credential: IntegrationCredential) -> Self:
        """What a credential is, as it stands now."""
        return cls.model_validate(credential, from_attributes=True)


class TestedIntegration(WireModel):
    """What came of a test: ``ok`` when every scope is, else the first outcome that was not."""

    id: uuid.UUID
    last_test_status: ProbeOutcome
    last_tested_at: datetime
    test_results: list[ProbeResult]
    version: int


def rotate(ctx: Context, credential: IntegrationCredential, body: IntegrationSecrets) -> HeldIntegration:
    """Give an integration credential secrets, in the place of those it holds. Those that are not sent stay."""
    if not credential.is_active:
        raise ConflictError(
            "The credential is not active.", hint="Set is_active first, or make a new one.", code="credential-inactive"
        )
    INTEGRATION_SECRETS.put(ctx, credential, INTEGRATION_SECRETS.given(body))
    credential.last_rotated_at = ctx.now()
    return _changed(ctx, credential)


def shred(ctx: Context, credential: IntegrationCredential) -> HeldIntegration:
    """Destroy the secrets of an integration credential for good and retire it."""
    INTEGRATION_SECRETS.drop(credential)
    credential.is_active = False
    return _changed(ctx, credential)


def _changed(ctx: Context, credential: IntegrationCredential) -> HeldIntegration:
    """What was found with the former secrets says nothing of those it holds now."""
    credential.holds = [field.value for field in INTEGRATION_SECRETS.held(credential)]
    credential.last_tested_at = credential.last_test_status = credential.test_results = None
    ctx.session.flush()
    return HeldIntegration.of(credential)


# --- trying out -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be asked where, and the moment of the secrets it is asked with."""

    id: uuid.UUID
    rotated_at: datetime | None
    target: Target
    probes: Sequence[Probe]


def test(ctx: Context, credential: IntegrationCredential) -> Trial:
    """Try an integration credential out: one request for each of its probes, at the system it is for.

    The answer tells for each scope whether it is there. That the secret was used is on record before it leaves.
    """
    if credential.api_base_url is None:
        raise ConflictError(
            "The credential has no api_base_url to ask.", hint="Set it first.", code="integration-address"
        )
    field, headers = _signed(ctx, credential)
    facts = {"fields": [field.value], "purpose": "test"}
    record_event(ctx, "use", IntegrationCredential.__tablename__, credential.id, facts)
    probes = [Probe.model_validate(probe) for probe in credential.probes]
    return Trial(credential.id, credential.last_rotated_at, Target(credential.api_base_url, headers), probes)


def tried(trial: Trial) -> Callable[[Context], TestedIntegration]:
    """Ask, and say how to write down what was found."""
    return partial(_note, trial=trial, results=ask(trial.target, trial.probes))


def _note(ctx: Context, trial: Trial, results: list[ProbeResult]) -> TestedIntegration:
    credential = ctx.session.get(IntegrationCredential, trial.id)
    if credential is None:
        raise NotFoundError("The credential was deleted while it was tested.")
    if credential.last_rotated_at != trial.rotated_at:
        raise ConflictError("The credential was rotated while it was tested.", hint="Test it again.")
    bad = [result.outcome for result in results if result.outcome is not ProbeOutcome.ok]
    credential.last_tested_at = ctx.now()
    credential.last_test_status = next(iter(bad), ProbeOutcome.ok).value
    credential.test_results = [result.model_dump(mode="json") for result in results]
    ctx.session.flush()
    return TestedIntegration.model_validate(credential, from_attributes=True)


def _signed(ctx: Context, credential: IntegrationCredential) -> tuple[IntegrationSecret, dict[str, str]]:
    """The secret that is used, and the header that signs a request in by it."""
    match credential.credential_type:
        case IntegrationCredentialType.api_key:
            field = IntegrationSecret.api_key
            header, key = credential.api_key_header, _fitting(_opened(ctx, credential, field))
            return field, {header: key} if header else {"Authorization": f"Bearer {key}"}
        case IntegrationCredentialType.oauth:
            field = IntegrationSecret.oauth_token
            return field, {"Authorization": f"Bearer {_fitting(_opened(ctx, credential, field))}"}
        case IntegrationCredentialType.basic_auth:
            field = IntegrationSecret.password
            pair = f"{credential.username or ''}:{_opened(ctx, credential, field)}".encode()
            return field, {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _opened(ctx: Context, credential: IntegrationCredential, field: IntegrationSecret) -> str:
    holds = INTEGRATION_SECRETS.held(credential)
    if field not in holds:
        raise ConflictError(
            f"The credential holds no {field}.", hint="Rotate it to give it one.", code="secret-absent", holds=holds
        )
    return INTEGRATION_SECRETS.open(ctx, credential, field).reveal()


def _fitting(secret: str) -> str:
    """A secret that a header can carry; another could end it and begin a header of its own."""
    if not (secret.isascii() and secret.isprintable()):
        raise ConflictError(
            "The secret has characters that no header can carry.", hint="Give it anew.", code="secret-no-header"
        )
    return secret


ROTATE_INTEGRATION: Final = Action(
    run=rotate, name="rotate", on="integration-credential", scope="integration-credential:write", risk=Risk.write
)
SHRED_INTEGRATION: Final = Action(
    run=shred, name="shred", on="integration-credential", scope="integration-credential:delete", risk=Risk.destructive
)
TEST_INTEGRATION: Final = Action(
    run=test,
    name="test",
    on="integration-credential",
    scope="integration-credential:use",
    risk=Risk.write,
    outside=tried,
)
