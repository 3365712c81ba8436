"""Putting planned records into the database, by the rules and with the audit of ordinary work."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import select

from worklore.estate.infrastructure import INFRASTRUCTURE
from worklore.kernel.context import Context
from worklore.kernel.crud import Writer, shown
from worklore.kernel.errors import ConflictError, HubError
from worklore.kernel.resource import Catalog
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.wire import wire
from worklore.ops.netbox.plan import Planned, noted
from worklore.ops.netbox.report import Report
from worklore.work.tag import TagNames
from worklore.work.tagging import InfrastructureTag, tag_infrastructure, tag_name

CHUNK: Final = 300
"""Records of one unit of work."""

MESSAGE: Final = "import netbox"

DISPENSABLE: Final = frozenset({"site_id", "parent_host_id"})
"""Fields that a record can do without when a rule refuses them."""


@dataclass(slots=True)
class Outcome:
    """What became of one planned record; ``id`` is None when it was refused."""

    planned: Planned
    id: uuid.UUID | None = None
    did: str = "unchanged"
    problems: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Storing:
    """One import on its way. ``ids`` leads from planned to real ids: a client found by its name keeps its own."""

    database: Database
    catalog: Catalog
    report: Report
    plans: Sequence[Planned]
    ids: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict[uuid.UUID, uuid.UUID])

    def run(self, progress: Callable[[int, int], None]) -> None:
        """Store everything, some hundred records a unit of work; a dry run is one unit, which is undone."""
        dry_run = self.report.dry_run
        size = max(1, len(self.plans)) if dry_run else CHUNK
        for start in range(0, len(self.plans), size):
            chunk = self.plans[start : start + size]
            work = partial(self._store, chunk=chunk)
            for outcome in self.database.write(work, Operation(message=MESSAGE, dry_run=dry_run)):
                self._count(outcome)
            progress(start + len(chunk), len(self.plans))

    def _store(self, ctx: Context, chunk: Sequence[Planned]) -> list[Outcome]:
        outcomes = [Outcome(planned) for planned in chunk]
        for outcome in outcomes:
            self._try(ctx, outcome, frozenset())
            if outcome.id is not None:
                self.ids[outcome.planned.key] = outcome.id
        return outcomes

    def _try(self, ctx: Context, outcome: Outcome, without: frozenset[str]) -> None:
        """Store one record, in a savepoint: what it is refused for does not touch the others."""
        try:
            with ctx.session.begin_nested():
                self._put(ctx, outcome, without)
        except HubError as error:
            outcome.id, outcome.did = None, "unchanged"
            field_name = str(error.members.get("field", ""))
            if field_name in DISPENSABLE and field_name not in without:
                outcome.problems.append(f"{error.detail} Taken without it.")
                self._try(ctx, outcome, without | {field_name})
            else:
                outcome.problems.append(error.detail)

    def _put(self, ctx: Context, outcome: Outcome, without: frozenset[str]) -> None:
        planned, resource = outcome.planned, outcome.planned.resource
        fields = self._resolved(outcome)
        if fields is None:
            return
        for name in without:
            fields.pop(name, None)
        writer = Writer(self.catalog)
        record = self._find(ctx, planned)
        own = {planned.key, self.ids.get(planned.key)}
        if record is not None and record.id not in own and record.id in self.ids.values():
            raise ConflictError(f"Another {resource.name} of the file has this {planned.by_name}.")
        notes = noted(getattr(record, "notes", None), planned.facts)
        if "notes" in resource.table.c and (notes or record is not None):
            fields["notes"] = notes
        schemas = wire(resource)
        if record is None:
            body = self._valid(schemas.create, {"id": planned.key, **fields}, outcome)
            if body is None:
                return
            record = writer.create(ctx, resource, [body])[0]
            outcome.did = "created"
        else:
            if planned.by_name is not None and record.id != planned.key:
                fields = {name: value for name, value in fields.items() if name in {planned.by_name, "notes"}}
            was = shown(resource, record)
            changes = {
                name: value
                for name, value in fields.items()
                if name in schemas.patch.model_fields and str(was[name]) != str(value)
            }
            body = self._valid(schemas.patch, changes, outcome) if changes else None
            if body is not None and body.model_fields_set:
                writer.patch(ctx, resource, record, body, getattr(record, "version", None))
                outcome.did = "changed"
        outcome.id = record.id
        if resource is INFRASTRUCTURE and planned.labels:
            self._label(ctx, outcome, record)

    def _find(self, ctx: Context, planned: Planned) -> Any:
        model = planned.resource.model
        record = ctx.session.get(model, planned.key)
        if record is None and planned.by_name is not None:
            column = planned.resource.table.c[planned.by_name]
            record = ctx.session.scalars(select(model).where(column == planned.fields[planned.by_name])).one_or_none()
        return record

    def _resolved(self, outcome: Outcome) -> dict[str, Any] | None:
        """The fields with the ids of records that are really there."""
        fields: dict[str, Any] = {}
        for name, value in outcome.planned.fields.items():
            if not isinstance(value, uuid.UUID):
                fields[name] = value
            elif value in self.ids:
                fields[name] = self.ids[value]
            elif name in {"client_id", "infrastructure_id"}:
                outcome.problems.append(f"{name}: what it belongs to was not taken")
                return None
            else:
                outcome.problems.append(f"{name}: what it names was not taken; taken without it")
        return fields

    @staticmethod
    def _valid(schema: Any, fields: dict[str, Any], outcome: Outcome) -> Any:
        """The body; a field that is refused is told and left out, unless a record cannot be without it."""
        try:
            return schema.model_validate(fields)
        except ValidationError as error:
            wrong = {str(one["loc"][0]): one["msg"] for one in error.errors(include_url=False)}
        needed = [name for name in wrong if name not in fields or schema.model_fields[name].is_required()]
        for name, why in wrong.items():
            end = "" if needed else "; taken without it"
            outcome.problems.append(f"{name} ({str(fields.get(name))[:60]}): {why}{end}")
        if needed:
            return None
        return schema.model_validate({name: value for name, value in fields.items() if name not in wrong})

    @staticmethod
    def _label(ctx: Context, outcome: Outcome, record: Any) -> None:
        """Put a host's tags on it; those that people put there stay."""
        names = sorted({tag_name(label) for label in outcome.planned.labels})
        held = select(InfrastructureTag.tag_id).where(InfrastructureTag.infrastructure_id == record.id)
        before = len(ctx.session.scalars(held).all())
        tag_infrastructure(ctx, record, TagNames(names=names))
        if outcome.did == "unchanged" and len(ctx.session.scalars(held).all()) != before:
            outcome.did = "changed"

    def _count(self, outcome: Outcome) -> None:
        thing, noun = outcome.planned.thing, outcome.planned.resource.name
        for what in outcome.problems:
            self.report.problem(thing.model, thing.pk, what)
        fate = self.report.of(thing.model)
        if outcome.id is None:
            fate.left["refused, see the problems"] += 1
            return
        fate.taken[noun] += 1
        counts = {"created": self.report.created, "changed": self.report.changed, "unchanged": self.report.unchanged}
        counts[outcome.did][noun] += 1
