"""The table of contents of the product: every noun and every verb, in explicit tuples."""

from typing import Final

from worklore.clients.client import CLIENTS
from worklore.identity.machine import MACHINES
from worklore.identity.token import API_TOKENS
from worklore.identity.user import USERS
from worklore.kernel.action import Action
from worklore.kernel.resource import Catalog, Resource
from worklore.memory.capture import CAPTURE
from worklore.memory.context import CONTEXTS
from worklore.memory.injection import INJECTIONS
from worklore.memory.recall import RECALL
from worklore.memory.source import TRANSCRIPTS
from worklore.memory.window import WINDOWS
from worklore.ops.job import CANCEL_JOB, JOBS, RETRY_JOB
from worklore.work.identity import IDENTIFY, PROJECT_IDENTITIES
from worklore.work.project import PROJECTS
from worklore.work.session import SESSIONS
from worklore.work.tag import TAG_SESSION, TAGS, UNTAG_SESSION

RESOURCES: Final[tuple[Resource, ...]] = (
    USERS,
    API_TOKENS,
    MACHINES,
    CLIENTS,
    PROJECTS,
    PROJECT_IDENTITIES,
    SESSIONS,
    TAGS,
    CONTEXTS,
    TRANSCRIPTS,
    WINDOWS,
    INJECTIONS,
    JOBS,
)

ACTIONS: Final[tuple[Action, ...]] = (
    IDENTIFY,
    TAG_SESSION,
    UNTAG_SESSION,
    CAPTURE,
    RECALL,
    RETRY_JOB,
    CANCEL_JOB,
)

CATALOG: Final = Catalog(RESOURCES, ACTIONS)
