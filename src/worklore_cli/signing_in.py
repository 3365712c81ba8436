"""Signing a person in for one request: some things are for people, and this machine's token may be any program's."""

import getpass
import sys
from collections.abc import Generator
from contextlib import contextmanager

import typer

from worklore_cli import nouns_hub
from worklore_cli.failure import Failure
from worklore_cli.nouns_hub import Records
from worklore_client.wire import HubRefused

FOR_PEOPLE = frozenset({("credential", "reveal"), ("credential", "share"), ("user", "invite")})
"""The verbs that show a secret or a way to it, or let somebody in."""

CODE_NEEDED = "second-factor-needed"


@contextmanager
def as_person(hub: Records) -> Generator[Records]:
    """The hub as somebody who signs in at the terminal; signed out again at the end. Nothing of it is kept.

    Failure where there is no terminal: neither a password nor a code is taken from anywhere else.
    """
    if not sys.stdin.isatty():
        raise Failure("this is for people, who sign in at a terminal", "Programs use secrets by `worklore secret run`")
    asked = {
        "email": typer.prompt("Address", err=True),
        "password": getpass.getpass("Password: ", stream=sys.stderr),
    }
    try:
        granted = hub.post("auth/sign-in", asked)
    except HubRefused as error:
        if error.code != CODE_NEEDED:
            raise
        granted = hub.post("auth/sign-in", {**asked, "code": getpass.getpass("Code: ", stream=sys.stderr).strip()})
    try:
        yield nouns_hub.connected(token=str(granted["access_token"]))
    finally:
        hub.post("auth/sign-out", {"refresh_token": granted["refresh_token"]})
