"""``worklore hub``: look after a hub that is not running."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import select

from worklore.app import build
from worklore.identity.keys import HubKey
from worklore.identity.roles import Role
from worklore.identity.setup import first_user, new_code
from worklore.identity.sign_in import reset_password, unlock
from worklore.identity.user import User, check
from worklore.kernel.context import Context
from worklore.kernel.errors import NotFoundError
from worklore.kernel.settings import load

Work = Callable[[Context, HubKey, User, argparse.Namespace], str]
"""What is done with a user, and what is told of it."""


def add(commands: Any) -> None:
    """What the command takes."""
    hub = commands.add_parser("hub", help="look after a hub that is not running").add_subparsers(
        required=True, metavar="TASK"
    )
    code = hub.add_parser("code", help="print a one-time code for a machine of the owner")
    code.set_defaults(run=print_code)
    listing = hub.add_parser("user-list", help="show the people who may sign in")
    listing.add_argument("--json", action="store_true", help="print JSON and nothing else")
    listing.set_defaults(run=print_users)
    for name, work, text in (
        (
            "user-reset",
            _reset,
            "give a user a new password, printed once; what was signed in ends, and the second factor is gone",
        ),
        ("user-unlock", _unlock, "let a user try again at once after too many failures"),
        ("user-disable", _disable, "shut a user out; their tokens end"),
        ("user-role", _role, "give a user another role; their tokens end"),
    ):
        task = hub.add_parser(name, help=text)
        task.add_argument("email")
        if work is _role:
            task.add_argument("role", type=Role, choices=[role for role in Role if role is not Role.agent])
        task.set_defaults(run=partial(change, work=work))


def print_code(_: argparse.Namespace) -> int:
    """Print a new one-time code of the owner."""
    hub = build(load())
    try:
        key = hub.gateway.authenticator.key
        made = hub.database.write(lambda ctx: new_code(ctx, key, first_user(ctx)))
    finally:
        hub.close()
    _say(made.code)
    return 0


def print_users(options: argparse.Namespace) -> int:
    """Print every user."""
    hub = build(load())
    try:
        shown = ("email", "name", "role", "is_active", "is_limited")
        users = hub.database.write(lambda ctx: [{name: getattr(user, name) for name in shown} for user in _people(ctx)])
    finally:
        hub.close()
    if options.json:
        _say(json.dumps(users, indent=2))
        return 0
    for user in users:
        state = ("limited" if user["is_limited"] else "") if user["is_active"] else "disabled"
        _say(f"{user['email']:40} {user['role']:14} {state}".rstrip())
    return 0


def change(options: argparse.Namespace, *, work: Work) -> int:
    """Do something with one user; it is recorded in the audit log as done by the hub."""
    hub = build(load())
    try:
        key = hub.gateway.authenticator.key
        told = hub.database.write(lambda ctx: work(ctx, key, _person(ctx, options.email), options))
    finally:
        hub.close()
    _say(told)
    return 0


def _people(ctx: Context) -> list[User]:
    return list(ctx.session.scalars(select(User).order_by(User.email)))


def _person(ctx: Context, email: str) -> User:
    user = ctx.session.scalars(select(User).where(User.email == email)).one_or_none()
    if user is None:
        raise NotFoundError(f"There is no user {email}.", hint="`worklore hub user-list` shows them.")
    return user


def _reset(ctx: Context, key: HubKey, user: User, _: argparse.Namespace) -> str:
    return reset_password(ctx, key, user)


def _unlock(ctx: Context, key: HubKey, user: User, _: argparse.Namespace) -> str:
    unlock(ctx, key, user)
    return f"{user.email} may sign in again."


def _disable(ctx: Context, _: HubKey, user: User, __: argparse.Namespace) -> str:
    former, user.is_active = user.is_active, False
    if former:
        check(ctx, user, {"is_active": former})
    return f"{user.email} is shut out."


def _role(ctx: Context, _: HubKey, user: User, options: argparse.Namespace) -> str:
    former, user.role = user.role, options.role
    if former is not options.role:
        check(ctx, user, {"role": former})
    return f"{user.email} is {user.role} now."


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer
