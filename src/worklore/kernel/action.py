"""The verb: one typed function whose first parameter is the Context, and how it is offered."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, get_args, get_type_hints

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
        outside: what is done with the result of ``run`` once that is committed and while nothing of the database is
            held, such as asking another machine. It gives a function of a Context, which runs in a unit of work of its
            own and whose result the caller gets.
    """

    run: Callable[..., Any]
    name: str
    scope: str
    risk: Risk
    on: str | None = None
    path: str | None = None
    finds: str | None = None
    outside: Callable[[Any], Callable[[Any], BaseModel]] | None = None

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
        if self.outside is not None:
            last: type[BaseModel] = get_args(get_type_hints(self.outside)["return"])[-1]
            return last
        hints: dict[str, type[BaseModel]] = get_type_hints(self.run)
        return hints["return"]
