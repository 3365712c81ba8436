"""Records of any noun on the hub: pages of lists, one record by id, prefix or name, and writes that may be repeated."""

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast
from urllib.parse import quote, urlencode

from worklore_cli.catalog import Field, Noun, noun
from worklore_cli.failure import Failure
from worklore_client.config import NotConnected, client_home, load
from worklore_client.wire import Hub, HubError, HubRefused, HubUnreachable

PAGE = 1000
TRIES = 3
MAX_OFFSET = 10_000_000
SUCCESS = range(200, 300)
UNAVAILABLE = 503
TIMEOUT = 60.0
_PREFIX = re.compile(r"[0-9a-f]{4}[0-9a-f-]*")

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub answered: its JSON (None without a body)."""

    status: int
    body: Any


class Records(Hub):
    """The hub as the commands of nouns use it. Raises HubError as `Hub` does."""

    def send(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request to `path` below /api/v1."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        place = path + (f"?{urlencode(parameters)}" if parameters else "")
        return self._understood(*self.exchange(method, place, content, headers))

    def _understood(self, status: int, text: bytes) -> Answer:
        try:
            parsed: Any = json.loads(text) if text else None
        except ValueError:
            raise HubUnreachable(f"what answers at {self.url} is no hub (its answer is no JSON)") from None
        if status in SUCCESS:
            return Answer(status, parsed)
        problem = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
        errors = cast("list[dict[str, str]]", problem.get("errors") or [])
        if len(errors) > 1:
            problem["detail"] = "; ".join(f"{error['field']}: {error['message']}" for error in errors)
        raise HubRefused(status, problem)

    def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        message: str | None = None,
        dry_run: bool = False,
        cascade: bool = False,
    ) -> Answer:
        """One write. When no answer comes it is repeated under the same key, so that it takes effect once."""
        parameters = {name: "true" for name, wanted in (("dry_run", dry_run), ("cascade", cascade)) if wanted}
        given = {"Idempotency-Key": f"cli-{uuid.uuid4()}", **(headers or {})}
        if message:
            given["Change-Message"] = quote(message)
        for attempt in range(1, TRIES + 1):
            try:
                return self.send(method, path, parameters=parameters, body=body, headers=given)
            except (HubUnreachable, HubRefused) as error:
                if attempt == TRIES or (isinstance(error, HubRefused) and error.status != UNAVAILABLE):
                    raise
                time.sleep(0.2 * attempt)
        raise AssertionError("the last attempt returns or raises")

    def page(self, of: Noun, parameters: Mapping[str, str]) -> Record:
        """One page of a list as the hub answers it."""
        answer: Record = self.send("GET", of.plural, parameters=parameters).body
        return answer

    def pages(
        self, of: Noun, parameters: Mapping[str, str], limit: int | None, *, size: int = PAGE
    ) -> Iterator[tuple[list[Record], bool]]:
        """The pages of a list, up to `limit` rows or all of them; with each, whether more rows follow."""
        left, after = limit, None
        while left is None or left > 0:
            most = size if left is None else min(size, left)
            answer = self.page(of, {**parameters, "limit": str(most), **({"after": after} if after else {})})
            items: list[Record] = answer["items"]
            after = answer["next"]
            yield items, after is not None
            if after is None:
                return
            left = None if left is None else left - len(items)

    def get(self, path: str, **parameters: str) -> Record:
        """One record, or anything else that is read by GET."""
        answer: Record = self.send("GET", path, parameters=parameters).body
        return answer

    def find(self, of: Noun, text: str) -> str:
        """The id of the record that `text` names: an id, the beginning of one, or the value of a unique field.

        Raises Failure when there is none or several.
        """
        try:
            return str(uuid.UUID(text))
        except ValueError:
            pass
        if "list" not in of.verbs:
            raise Failure(f"{text} is no id of a {of.name}", f"{of.plural} cannot be listed, so give the whole id")
        for name in of.names:
            found = self.page(of, {name: text, "fields": "id", "limit": "2"})["items"]
            if len(found) == 1:
                return str(found[0]["id"])
        ids = self._beginning(of, text.lower()) if _PREFIX.fullmatch(text.lower()) else []
        if len(ids) > 1:
            raise Failure(f"several {of.plural} have an id that begins with {text}", "Give more of it")
        if not ids:
            known = f"an id, its first four or more characters{''.join(f', or its {name}' for name in of.names)}"
            raise Failure(f"there is no {of.name} {text}", f"Give {known}; `worklore {of.name} list` shows them")
        return ids[0]

    def _beginning(self, of: Noun, prefix: str) -> list[str]:
        """Up to two ids that begin with `prefix`: the list in the order of ids is searched by halves."""
        ordered = {"fields": "id", "sort": "id"}
        first = self.page(of, {**ordered, "limit": str(PAGE), "total": "true"})
        found: list[str] = [item["id"] for item in first["items"]]
        if first["next"]:
            low, high = 0, min(int(first["total"]), MAX_OFFSET)
            while low < high:
                middle = (low + high) // 2
                items = self.page(of, {**ordered, "limit": "1", "offset": str(middle)})["items"]
                if not items or items[0]["id"] >= prefix:
                    high = middle
                else:
                    low = middle + 1
            found = [item["id"] for item in self.page(of, {**ordered, "limit": "2", "offset": str(low)})["items"]]
        matching = [key for key in found if key.startswith(prefix)][:2]
        # MariaDB orders ids of some versions by another part of them: only the whole list tells then.
        return matching or self._scanned(of, prefix) if first["next"] else matching

    def _scanned(self, of: Noun, prefix: str) -> list[str]:
        pages = self.pages(of, {"fields": "id", "sort": "id"}, MAX_OFFSET)
        matching = (item["id"] for items, _ in pages for item in items if item["id"].startswith(prefix))
        return list(islice(matching, 2))

    def resolve(self, field: Field, value: Any) -> Any:
        """The id that a reference stands for, where its noun's unique field or the beginning of an id was given."""
        if not field.reference or not isinstance(value, str):
            return value
        return self.find(noun(field.reference), value)


def connected(timeout: float = TIMEOUT, token: str = "") -> Records:
    """The hub of this machine, with its token unless another is given. Failure when the machine is not connected."""
    home = client_home()
    try:
        config = load(home)
        authority = config.options.get("ca_file", "")
        return Records(config.hub, token or config.token, timeout=timeout, ca_file=authority, home=home)
    except NotConnected as error:
        raise Failure(f"this machine is not connected ({error})", "Run `worklore connect URL --code CODE`") from None
    except HubError as error:
        raise Failure(str(error), f"Correct the address in {home / 'config'}") from None
