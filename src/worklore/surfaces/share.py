"""The page of a link that shows a secret, and what its button asks for. Neither needs a token.

The link's key stands behind the #, which a browser sends to nobody: no log of this hub or of a proxy before it holds
it, and a preview that fetches the link uses up nothing. The page's one script moves it into the form.
"""

from html import escape
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.errors import HubError, NotFoundError
from worklore.surfaces.http import Gateway, json_response, not_valid, read_body, validated
from worklore.surfaces.page import body_of, fields_of, headers, is_form, page, refused
from worklore.vault.share import PATH, OpenShare, ShownShare, view

ANONYMOUS: Final = Principal(PrincipalKind.system, "anonymous", frozenset())
SCRIPT: Final = (
    "document.getElementById('token').value=location.hash.slice(1);history.replaceState(null,'',location.pathname)"
)

HEADERS: Final = headers(SCRIPT)


def routes(gateway: Gateway, action: str) -> APIRouter:
    """The page, and the operation at the path ``action`` that its form is sent to."""
    router = APIRouter()

    @router.get(PATH, tags=["share"], response_class=Response, openapi_extra={"security": [], "x-risk": "read"})
    async def ask() -> Response:
        """The page of a link that shows a secret: it says that there is one, and has a button to see it."""
        return page(
            "Somebody shares a secret with you",
            "<p>It is shown when you press the button, and each time counts: a link shows it once or a few times."
            f'<form method="post" action="{escape(action)}" autocomplete="off">'
            '<label>Key, the part of the link behind the #<input id="token" name="token" required></label>'
            '<label>Passphrase, if you were told one<input name="passphrase" type="password"></label>'
            f"<button>Show the secret</button></form><script>{SCRIPT}</script>",
            HTTPStatus.OK,
            SCRIPT,
        )

    @router.post(
        action,
        tags=["share"],
        response_model=ShownShare,
        openapi_extra={
            "security": [],
            "x-risk": "secret",
            "requestBody": body_of(OpenShare, {"token": "the part of the link behind the #"}),
        },
    )
    async def show(request: Request) -> Response:
        """What a link shows, counted before it is shown. Whatever is wrong with a link, the answer is the same."""
        address = request.client.host if request.client else None
        as_page = is_form(request)
        try:
            body = await read_body(request)
            given = _of_form(body) if as_page else validated(OpenShare, body)
            shown = await gateway.write(request, None, lambda ctx: view(ctx, given, address), principal=ANONYMOUS)
            if shown is None:
                raise NotFoundError(
                    "This link shows nothing: it is wrong, was used up or taken back, or its time is over.",
                    hint="Ask whoever sent it for a new one.",
                    code="link-ended",
                )
        except HubError as error:
            if not as_page:
                raise
            return refused(request, error, "There is nothing to show")
        return _shown(shown) if as_page else json_response(shown.model_dump(mode="json"), headers=HEADERS)

    return router


def _of_form(body: bytes) -> OpenShare:
    given = fields_of(body)
    try:
        return OpenShare.model_validate({"token": given.get("token", ""), "passphrase": given.get("passphrase")})
    except ValidationError as error:
        raise not_valid(error) from error


def _shown(shown: ShownShare) -> Response:
    secrets = "".join(
        f"<h2>{escape(field.replace('_', ' '))}</h2><pre>{escape(text)}</pre>" for field, text in shown.secrets.items()
    )
    left = "It is not shown again." if not shown.views_left else f"It is shown {shown.views_left} more times."
    return page(shown.service_name, f"{secrets}<p>{left} Copy it now, and close this page.")
