"""The verb: one typed function whose first parameter is the Context, and how it is offered."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, get_type_hints

from pydantic import BaseModel


class Risk(StrEnum):
    """What an action may do, for people and agents who decide whether to run it."""

    read = "read"
    write = "write"
    destructive = "destructive"
    secret = "secret"  # noqa: S105 - the name of a risk


@dataclass(frozen=True, kw_only=True)
class Action:
    """A verb as every surface offers it.

    Attributes:
        run: ``(ctx, body)`` or, on a record, ``(ctx, record, body)``; ``body`` may be missing. Its docstring is the
            text that callers see; body and result are pydantic models, read from the annotations.
        name: the verb, kebab-case.
        scope: what the principal needs.
        risk: ``read`` actions get a ReadContext, all others a Context in a unit of work.
        on: the name of the resource whose record it acts on; None for an action of its own.
        path: where an action of its own is reached below the API's root; its name unless given.
        finds: the order, such as ``-created_at``, of the part of the list of ``on`` that it answers with rather than
            act on a record: ``(ctx, body, ask)`` gives a Page; the body's fields come as parameters beside the list's.
    """

    run: Callable[..., Any]
    name: str
    scope: str
    risk: Risk
    on: str | None = None
    path: str | None = None
    finds: str | None = None

    @cached_property
    def description(self) -> str:
        """The docstring's first paragraph."""
        return inspect.cleandoc(self.run.__doc__ or "").partition("\n\n")[0]

    @cached_property
    def body(self) -> type[BaseModel] | None:
        """The model of what the caller sends."""
        hints: dict[str, type[BaseModel]] = get_type_hints(self.run)
        position = 1 if self.on is None or self.finds else 2
        names = [name for name in inspect.signature(self.run).parameters if name != "ask"]
        return hints[names[position]] if len(names) > position else None

    @cached_property
    def result(self) -> type[BaseModel]:
        """The model of what the caller gets."""
        hints: dict[str, type[BaseModel]] = get_type_hints(self.run)
        return hints["return"]
