"""The few pages for people who have no token: plain forms without cookies, that run and load nothing from elsewhere."""

import base64
import hashlib
from html import escape
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request, Response
from pydantic import BaseModel

from worklore.kernel.errors import HubError, TooManyRequestsError

FORM: Final = "application/x-www-form-urlencoded"
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}"
    "label{display:block;margin:1rem 0}input{display:block;width:100%;font:inherit;box-sizing:border-box}"
    "button{font:inherit;padding:.5rem 1rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:1rem;"
    "border:1px solid}"
)


def digest(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def headers(*scripts: str) -> dict[str, str]:
    """The headers of a page that runs these scripts and no other."""
    run = f"script-src {' '.join(map(digest, scripts))}; " if scripts else ""
    return {
        "content-security-policy": f"default-src 'none'; style-src {digest(STYLE)}; {run}"
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "x-robots-tag": "noindex",
    }


def is_form(request: Request) -> bool:
    """True where a browser sends a form, which is answered with a page."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def body_of(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """How a description tells of the body of an operation that reads it by itself."""
    content = {"schema": model.model_json_schema(), "example": example}
    return {"required": True, "content": {"application/json": content}}


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a form that were filled in."""
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}


def page(title: str, content: str, status: int = HTTPStatus.OK, *scripts: str) -> Response:
    """A page; `content` is HTML."""
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>{content}</html>"
    )
    return Response(text, status, headers(*scripts), media_type="text/html")


def refused(request: Request, error: HubError, title: str, content: str = "") -> Response:
    """The page that says what an API answers as a problem, with more to follow it."""
    request.state.error = f"{error.code}: {error.title}"
    answer = page(title, f"<p>{escape(error.detail)} {escape(error.hint or '')}</p>{content}", error.status)
    if isinstance(error, TooManyRequestsError):
        answer.headers["retry-after"] = str(error.members["retry_after"])
    return answer
