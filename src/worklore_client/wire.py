"""JSON requests to the hub, for the flusher and the command line (the hooks have their own, smaller way)."""

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from worklore_client.ask import broken_hub, split_url
from worklore_client.events import Silent

ANSWER_LIMIT = 64 * 1024 * 1024
_SUCCESS = range(200, 300)


class HubError(Exception):
    """The hub did not do what was asked."""


class HubUnreachable(HubError):  # noqa: N818 - reads as the state it is
    """No hub answers there: refused, timed out, or something that is not the hub speaks."""


class HubRefused(HubError):  # noqa: N818 - reads as the state it is
    """The hub answered with an error: `status`, and its problem+json (RFC 9457) as `problem`, {} without one."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        said = problem.get("detail") or problem.get("title") or "no reason given"
        hint = problem.get("hint")
        super().__init__(f"{said} (HTTP {status})" + (f". {hint}" if hint else ""))

    @property
    def code(self) -> str:
        """The stable code of the problem, ``http-<status>`` without one."""
        return str(self.problem.get("code") or f"http-{self.status}")


class HubAddressRefused(HubError):  # noqa: N818 - reads as the state it is
    """The hub's url is not one, or would carry the token over plain http off this machine."""


_ADDRESS_TEXT = {
    "bad-url": "is not a hub's address; it looks like http://127.0.0.1:8420 or https://worklore.example.com",
    "insecure-url": "is plain http to another machine: the token would cross the network readable. Use https",
}


class Hub:
    """A hub at `url`; `token` goes along as bearer token where given. `timeout` in seconds, for each step of the wire.

    `home` is that of the client for which it may be broken on purpose. Raises HubAddressRefused at once for an address
    that must not be used.
    """

    def __init__(
        self, url: str, token: str = "", *, timeout: float = 30.0, ca_file: str = "", home: Path | None = None
    ) -> None:
        try:
            self._tls, self._host, self._port, self._prefix = split_url(url.rstrip("/"))
        except Silent as refusal:
            raise HubAddressRefused(f"{url} {_ADDRESS_TEXT[refusal.code]}") from None
        self.url = url.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._ca_file = ca_file
        self._home = home

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """GET `path` (below /api/v1, or absolute when it starts with a slash); the parsed answer."""
        return self._request("GET", path + (f"?{urlencode(parameters)}" if parameters else ""), None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST `body` as JSON; the parsed answer."""
        return self._request("POST", path, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))

    def patch(self, path: str, body: Mapping[str, Any], *, version: int) -> dict[str, Any]:
        """PATCH a row that is to be of that version; the row as it is then."""
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return self._parsed(*self.exchange("PATCH", path, content, {"If-Match": f'"{version}"'}))

    def _request(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        return self._parsed(*self.exchange(method, path, body))

    def exchange(
        self, method: str, path: str, body: bytes | None, more: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request as it is, with `more` headers: the answer's status and bytes, whatever they say."""
        if self._home is not None and broken_hub(str(self._home)):
            raise HubUnreachable("the hub is broken on purpose (worklore offline simulate --off ends that)")
        headers = {"Accept": "application/json", "Connection": "close", **(more or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        place = self._prefix + (path if path.startswith("/") else f"/api/v1/{path}")
        try:
            link = self._connection()
            try:
                link.request(method, place, body, headers)
                answer = link.getresponse()
                return answer.status, answer.read(ANSWER_LIMIT)
            finally:
                link.close()
        except TimeoutError:
            raise HubUnreachable(f"{self.url} did not answer within {self._timeout:g} seconds") from None
        except http.client.HTTPException as error:
            raise HubUnreachable(f"what answers at {self.url} is no hub ({type(error).__name__})") from None
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message or "it cannot be verified"
            raise HubUnreachable(
                f"the certificate of {self.url} is refused: {why}. "
                "--ca-file names the certificate authority of a hub that has one of its own"
            ) from None
        except OSError as error:
            raise HubUnreachable(f"{self.url} cannot be reached ({error.strerror or type(error).__name__})") from None

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            try:
                context = ssl.create_default_context(cafile=self._ca_file or None)
            except OSError as error:
                why = error.strerror or "it holds no certificate"
                raise HubUnreachable(f"the certificate authority {self._ca_file} cannot be read ({why})") from None
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
        host = "127.0.0.1" if self._host == "localhost" else self._host
        return http.client.HTTPConnection(host, self._port, timeout=self._timeout)

    def _parsed(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            parsed: Any = json.loads(content) if content else {}
        except ValueError:
            parsed = None
        answer = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None
        if status not in _SUCCESS:
            raise HubRefused(status, answer or {})
        if answer is None:
            raise HubUnreachable(f"what answers at {self.url} is no hub (its answer is no JSON object)")
        return answer
