"""Is the process there, and can it serve: two questions of whoever watches the hub."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select

from worklore.kernel.access import SYSTEM
from worklore.kernel.sequence import Sequence
from worklore.memory.embed import ModelUnavailableError, embedder
from worklore.surfaces.http import Gateway
from worklore.vault.seal import vault_of


def routes(gateway: Gateway, version: str) -> APIRouter:
    """``/healthz`` and ``/readyz``, at the root and without a token."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", openapi_extra={"security": [], "x-risk": "read"})
    async def health() -> dict[str, str]:
        """The process answers, and by its clock it is ``time``."""
        return {"status": "ok", "version": version, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}

    @router.get("/readyz", openapi_extra={"security": [], "x-risk": "read"})
    def ready() -> dict[str, Any]:
        """The database answers too.

        ``vault`` is ``sealed`` while secrets are refused, ``disk`` is ``full`` while changes are, and ``recall`` goes
        by ``words`` alone where the embedding model is missing or damaged; all else works then.
        """
        with gateway.database.read(SYSTEM) as ctx:
            ctx.session.execute(select(Sequence.value).limit(1)).first()
            vault = "open" if vault_of(ctx).refusal is None else "sealed"
        disk = "ok" if gateway.database.has_room() else "full"
        recall = "words" if isinstance(embedder(), ModelUnavailableError) else "meaning"
        return {
            "status": "ready",
            "database": gateway.database.dialect,
            "vault": vault,
            "disk": disk,
            "recall": recall,
        }

    return router
