"""How a folder on any machine finds its project.

In order of trust: the normalised git remote, the root commit, a committed marker, and last the folder's path on one
machine. Worktrees, renamed folders and clones by another protocol resolve to the same project.

Two remotes with one root commit are a repository that has moved, or a fork: a template may be the root of many clients'
repositories, and what one of them says must not be told to another. So a folder whose remote nobody knows belongs to
the project of its root commit only where that one has no remote, or where the folder itself is known as the project's.
"""

import re
import uuid
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

from pydantic import Field
from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.clients.client import Client, ClientType
from worklore.kernel.access import through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import NotFoundError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, uuid7
from worklore.kernel.wire import Clean, WireModel
from worklore.work.project import PROJECTS, Project, slug_of

MAX_VALUE: Final = 500
OWN_WORK: Final = "Internal"
"""The client that projects belong to until somebody says whose they are."""


class IdentityKind(StrEnum):
    """What a project is recognised by, most trusted first."""

    remote = "remote"
    root_commit = "root_commit"
    marker = "marker"
    path = "path"


class ProjectIdentity(Created, Record):
    """Something a project is recognised by: a git remote, a root commit, a marker, or a folder on one machine."""

    __tablename__ = "project_identities"
    __table_args__ = (Index(None, "kind", "value", unique=True), Index(None, "project_id"))

    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    kind: Mapped[IdentityKind]
    value: Mapped[str] = mapped_column(Line(MAX_VALUE))


PROJECT_IDENTITIES = Resource(
    model=ProjectIdentity,
    name="project-identity",
    plural="project-identities",
    visible=through(ProjectIdentity.project_id, Project, PROJECTS.visible),
    filters=(ProjectIdentity.project_id, ProjectIdentity.kind, ProjectIdentity.value),
    columns=(ProjectIdentity.kind, ProjectIdentity.value, ProjectIdentity.project_id),
)


class Folder(WireModel):
    """What a machine knows of a folder."""

    remote: Annotated[str, Field(max_length=2000), Clean] | None = None
    root_commit: Annotated[str, Field(max_length=64), Clean] | None = None
    marker: Annotated[str, Field(max_length=200), Clean] | None = None
    path: Annotated[str, Field(max_length=4000), Clean]
    name: Annotated[str, Field(max_length=255), Clean] = ""


class FoundProject(WireModel):
    """The project of a folder."""

    id: uuid.UUID
    name: str
    slug: str | None
    created: bool


_SCP: Final = re.compile(r"^(?:[^@/\s]+@)?(?P<host>\[[^\]]+\]|[^:/\s]+):(?!//)(?P<path>.+)$")


def normalised_remote(remote: str) -> str | None:
    """``host/path`` of a git remote: no protocol, user, password, port, ``.git`` or case of the host.

    ``git@git.example.com:Team/App.git`` and ``https://token@git.example.com/Team/App`` are one place. None for a remote
    that names no place, such as a path of this machine.
    """
    text = remote.strip()
    if "://" in text:
        try:
            parts = urlsplit(text)
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return None
        if parts.scheme == "file":
            return None
    elif (match := _SCP.match(text)) and not re.match(r"^[A-Za-z]:[\\/]", text):
        host, path = match["host"].strip("[]").lower(), match["path"]
    else:
        return None
    path = re.sub(r"/+", "/", unquote(path)).strip("/").removesuffix(".git").rstrip("/")
    return f"{host}/{path}"[:MAX_VALUE] if host and path else None


def keys_of(folder: Folder, machine_id: uuid.UUID | None) -> Iterator[tuple[IdentityKind, str]]:
    """What the folder may be recognised by, most trusted first."""
    remote = normalised_remote(folder.remote) if folder.remote else None
    if remote:
        yield IdentityKind.remote, remote
    if folder.root_commit:
        yield IdentityKind.root_commit, folder.root_commit.lower()
    if folder.marker:
        yield IdentityKind.marker, folder.marker.strip()
    path = folder.path.rstrip("/\\") or folder.path
    yield IdentityKind.path, f"{machine_id}:{path}"[:MAX_VALUE]


def find_project(ctx: ReadContext, folder: Folder) -> Project | None:
    """The project of a folder, as far as the principal may see it."""
    for kind, value in keys_of(folder, ctx.principal.machine_id):
        found = (
            select(Project)
            .join(ProjectIdentity, ProjectIdentity.project_id == Project.id)
            .where(ProjectIdentity.kind == kind, ProjectIdentity.value == value)
        )
        if ctx.principal.clients is not None:
            found = found.where(PROJECTS.visible(ctx.principal))
        project = ctx.session.scalars(found).one_or_none()
        if project is not None and not (kind is IdentityKind.root_commit and _is_fork(ctx, project, folder)):
            return project
    return None


def _is_fork(ctx: ReadContext, project: Project, folder: Folder) -> bool:
    """True where the folder has a remote, and the project another, and the folder is not known as the project's."""
    if not folder.remote or normalised_remote(folder.remote) is None:
        return False
    known = dict(keys_of(folder, ctx.principal.machine_id))
    others = select(ProjectIdentity.kind, ProjectIdentity.value).where(
        ProjectIdentity.project_id == project.id,
        ProjectIdentity.kind.in_((IdentityKind.remote, IdentityKind.path)),
    )
    held = [(kind, value) for kind, value in ctx.session.execute(others)]
    has_remote = any(kind is IdentityKind.remote for kind, _ in held)
    return has_remote and (IdentityKind.path, known[IdentityKind.path]) not in held


def identify(ctx: Context, body: Folder) -> FoundProject:
    """Find the project of a folder, or make one. What the folder is also recognised by is learnt."""
    project = find_project(ctx, body)
    created = project is None
    if project is None:
        project = Project(id=uuid7(), client_id=_own_client(ctx), name=_name(body), slug=_free_slug(ctx, _name(body)))
        ctx.session.add(project)
        ctx.session.flush()
    _learn(ctx, project, body)
    return FoundProject(id=project.id, name=project.name, slug=project.slug, created=created)


def _name(folder: Folder) -> str:
    remote = normalised_remote(folder.remote) if folder.remote else None
    last = (remote or folder.path).replace("\\", "/").rstrip("/").rpartition("/")[2]
    return (folder.name or last or "project")[:255]


def _free_slug(ctx: ReadContext, name: str) -> str:
    slug = slug_of(name)[:200]
    taken = set(ctx.session.scalars(select(Project.slug).where(Project.slug.startswith(slug, autoescape=True))))
    return slug if slug not in taken else next(f"{slug}-{n}" for n in range(2, 100_000) if f"{slug}-{n}" not in taken)


def _own_client(ctx: Context) -> uuid.UUID:
    if ctx.principal.clients is not None:
        if len(ctx.principal.clients) == 1:
            return next(iter(ctx.principal.clients))
        raise NotFoundError(
            "This folder belongs to no project you can see.", hint="Ask for a project for it, then try again."
        )
    found = ctx.session.scalars(select(Client.id).where(Client.name == OWN_WORK)).one_or_none()
    if found is not None:
        return found
    client = Client(id=uuid7(), name=OWN_WORK, type=ClientType.internal)
    ctx.session.add(client)
    ctx.session.flush()
    return client.id


def _learn(ctx: Context, project: Project, folder: Folder) -> None:
    for kind, value in keys_of(folder, ctx.principal.machine_id):
        known = select(ProjectIdentity.id).where(ProjectIdentity.kind == kind, ProjectIdentity.value == value)
        if ctx.session.scalars(known).one_or_none() is None:
            ctx.session.add(ProjectIdentity(project_id=project.id, kind=kind, value=value))
    ctx.session.flush()


IDENTIFY = Action(run=identify, name="identify", path="projects/identify", scope="project:write", risk=Risk.write)
