"""The page on which somebody signs in and is given the code that connects a machine, and what its form asks for.

The machine's own terminal never sees the password, and the code is good for what the page says, once. Neither needs a
token. No page takes a code that a machine shows: whoever sends somebody a link gains nothing by it.
"""

from html import escape
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from worklore.identity.setup import CODE_LIFE, Code
from worklore.identity.sign_in import SignIn, code_for_machine
from worklore.kernel.errors import HubError
from worklore.surfaces.http import Gateway, json_response, not_valid, read_body, validated
from worklore.surfaces.page import body_of, fields_of, is_form, page, refused
from worklore.surfaces.sign_in import ANONYMOUS, Passwords, or_raise

PATH: Final = "/connect"
TITLE: Final = "Connect a machine"
MINUTES: Final = int(CODE_LIFE.total_seconds() // 60)


def routes(gateway: Gateway, action: str) -> APIRouter:
    """The page, and the operation at the path ``action`` that its form is sent to."""
    router = APIRouter()
    passwords = Passwords(gateway)
    key = gateway.authenticator.key
    form = (
        f'<form method="post" action="{escape(action)}">'
        '<label>Address<input name="email" type="email" autocomplete="username" required></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password" required></label>'
        '<label>Code of the authenticator app, if you use one<input name="code" autocomplete="one-time-code"></label>'
        "<button>Get a code</button></form>"
    )

    @router.get(PATH, tags=["auth"], response_class=Response, openapi_extra={"security": [], "x-risk": "read"})
    async def ask() -> Response:
        """The page on which a person signs in to get a one-time code, which connects a machine of theirs."""
        return page(TITLE, f"<p>Sign in to get a code for the terminal in which you ran worklore connect.</p>{form}")

    @router.post(
        action,
        tags=["auth"],
        response_model=Code,
        openapi_extra={
            "security": [],
            "x-risk": "secret",
            "requestBody": body_of(SignIn, {"email": "kim@example.com", "password": "the password"}),
        },
    )
    async def code(request: Request) -> Response:
        """A one-time code, good for half an hour, for a machine of whom address, password and code belong to."""
        as_page = is_form(request)
        try:
            body = await read_body(request)
            attempt = await passwords.attempt(request, _of_form(body) if as_page else validated(SignIn, body))
            made = or_raise(
                await gateway.write(request, None, lambda ctx: code_for_machine(ctx, key, attempt), principal=ANONYMOUS)
            )
        except HubError as error:
            if not as_page:
                raise
            return refused(request, error, TITLE, form)
        return _shown(made) if as_page else json_response(made.model_dump(mode="json"))

    return router


def _of_form(body: bytes) -> SignIn:
    try:
        return SignIn.model_validate(fields_of(body))
    except ValidationError as error:
        raise not_valid(error) from error


def _shown(made: Code) -> Response:
    return page(
        "The code for your machine",
        f"<pre>{escape(made.code)}</pre><p>Give it where worklore connect asks for it. It connects one machine, "
        f"within {MINUTES} minutes, which then works in your name: give it to nobody.</p>",
    )
