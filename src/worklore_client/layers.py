"""Reading in four layers: the hub, what this machine has kept of it, the project's git history, its journal.

`read` never fails: it says which layer has answered, how old that is, and what was wrong with those above.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worklore_client import cache, history, journal
from worklore_client.cached import CLOSING, LIFE_SECONDS, OPENING, Cache, age, broken, memory_line, scope_of
from worklore_client.commands import repeated
from worklore_client.config import Config
from worklore_client.events import Silent
from worklore_client.identity import identity
from worklore_client.wire import Hub, HubError, HubRefused
from worklore_client.words import bearing

HUB, CACHE, GIT, JOURNAL = "hub", "cache", "git", "journal"
LAYERS = (HUB, CACHE, GIT, JOURNAL)
KINDS = ("brief", "recall", "warnings", "work-items", "vendors", "configuration")
"""What can be read in layers."""

PROBE_SECONDS = 2.0
ASK_SECONDS = 15.0
CHARACTERS = 8_000
KIND = {"warnings": "warning", "work-items": "work-item", "vendors": "vendor", "configuration": "configuration"}
"""What is kept of each kind that is a list of records, and what it is called there."""

_UNAUTHORISED = 401
_SERVER_ERROR = 500
_UNKNOWN = frozenset({404, 405})

AskHub = Callable[[Hub], "dict[str, Any]"]


class Absent(Exception):  # noqa: N818 - reads as the state it is
    """A layer has nothing to say, and why."""


@dataclass
class Answer:
    """What was read. `layer` is "" when no layer has anything; `age` in seconds, None where it is not known.

    `warnings` say in words why a layer above did not answer. `told` is the hub's own answer, where it is that.
    """

    what: str
    layer: str = ""
    age: float | None = None
    text: str = ""
    items: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    warnings: list[str] = field(default_factory=list[str])
    told: dict[str, Any] | None = None

    def source(self) -> str:
        """The layer and its age, in words."""
        if not self.layer:
            return "no layer has an answer"
        if self.layer == HUB:
            return "from the hub"
        named = {CACHE: "this machine's cache", GIT: "the project's git history", JOURNAL: "the project's journal"}
        return f"from {named[self.layer]}" + (f", {age(self.age)}" if self.age is not None else ", of unknown age")

    def as_dict(self) -> dict[str, Any]:
        """It as JSON: the hub's own members, where it has answered in full, beside the layer's."""
        own = {"layer": self.layer or None, "age": self.age, "notes": self.warnings}
        if self.told is not None:
            return {**self.told, **own}
        return {"what": self.what, "text": self.text, "items": self.items, **own}


@dataclass(frozen=True)
class Question:
    """What is read: `what` of KINDS, for the project of `folder`; `text` is a question, or a command to be warned of.

    `ask` asks the hub, where its own answer is wanted in full.
    """

    what: str
    folder: str
    text: str = ""
    ask: AskHub | None = None


def read(config: Config, question: Question) -> Answer:
    """The answer of the first layer that has one, with what was wrong above it."""
    answer = Answer(question.what)
    about = identity(question.folder, config.home / "roots.json")
    for layer, look in _LOOKS:
        if broken(str(config.home), layer):
            answer.warnings.append(f"{layer}: broken on purpose (worklore offline simulate --off ends that)")
            continue
        try:
            look(config, question, about, answer)
        except Absent as absent:
            answer.warnings.append(f"{layer}: {absent}")
        else:
            answer.layer = layer
            return answer
    _expired(config, question, about, answer)
    return answer


# --- the hub


def probe(config: Config) -> None:
    """See within two seconds that the hub is there; Absent when it is not. Name services are waited for no longer."""
    outcome: list[str] = []

    def look() -> None:
        try:
            authority = config.options.get("ca_file", "")
            hub = Hub(config.hub, timeout=PROBE_SECONDS, ca_file=authority, home=config.home)
            hub.get("/healthz")
        except (HubError, OSError, ValueError) as error:
            outcome.append(str(error))
        else:
            outcome.append("")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    said = outcome[0] if outcome else f"{config.hub} did not answer within {PROBE_SECONDS:g} seconds"
    if said:
        raise Absent(said)


def _hub(config: Config, question: Question, about: Mapping[str, Any], answer: Answer) -> None:
    probe(config)
    hub = Hub(config.hub, config.token, timeout=ASK_SECONDS, ca_file=config.options.get("ca_file", ""))
    try:
        told = question.ask(hub) if question.ask else _asked(hub, question, about)
    except HubRefused as refusal:
        if refusal.status == _UNAUTHORISED:
            cache.forget(config.home)
            raise Absent(f"{refusal}; what was kept here is forgotten") from None
        if refusal.status < _SERVER_ERROR:
            raise  # the hub has an opinion about the question: no other layer knows better
        raise Absent(str(refusal)) from None
    except HubError as error:
        raise Absent(str(error)) from None
    answer.age = 0.0
    answer.told = told if question.ask else None
    answer.text = str(told.get("text", ""))
    answer.items = list(told.get("items") or [])


def _asked(hub: Hub, question: Question, about: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's answer to what has no command of its own there."""
    if question.what == "recall":
        return hub.post("recall", {"question": question.text, "identity": about})
    if question.what == "warnings":
        found = hub.post("warnings", {"command": question.text, "identity": about})
        return {"text": found["text"], "items": found["warnings"]}
    try:
        told = hub.post("sync", {"identity": about, "memories": False})
    except HubRefused as refusal:
        if refusal.status not in _UNKNOWN:
            raise
        raise Absent("the hub is older than this client and cannot tell it") from None
    rows: list[dict[str, Any]] = told["parts"].get(KIND.get(question.what, question.what), [])
    if question.what == "brief":
        return {"text": rows[0]["text"] if rows else "", "items": []}
    return {"text": "".join(f"{journal.line_of(row)}\n" for row in rows), "items": rows}


# --- this machine's cache


def _cache(config: Config, question: Question, about: Mapping[str, Any], answer: Answer) -> None:
    found = _kept(config, question, about)
    if found.age is None or found.age > LIFE_SECONDS:
        old = "of unknown age: the clock was changed" if found.age is None else age(found.age)
        raise Absent(f"what is kept is {old}, so the next layers are asked first")
    answer.age, answer.text, answer.items = found.age, found.text, found.items


def _expired(config: Config, question: Question, about: Mapping[str, Any], answer: Answer) -> None:
    """What is kept beyond its life is better than nothing."""
    if broken(str(config.home), CACHE):
        return
    try:
        found = _kept(config, question, about)
    except Absent:
        return
    answer.layer, answer.age, answer.text, answer.items = CACHE, found.age, found.text, found.items


def _kept(config: Config, question: Question, about: Mapping[str, Any]) -> Answer:
    try:
        kept = Cache(str(config.home), scope_of(config.hub, config.token))
        project = kept.project(*(str(about.get(name) or "") for name in ("path", "remote", "marker")))
    except Silent as end:
        raise Absent(_CACHE_TEXT.get(end.code, end.code)) from None
    if project is None:
        raise Absent("nothing of this folder's project is kept here yet; `worklore sync` fetches it")
    number, fetched = project
    seconds = time.time() - fetched
    found = Answer(question.what, age=seconds if seconds >= -60 else None)  # noqa: PLR2004 - clocks differ by so much
    try:
        _fill(config, question, about, found, kept, number=number)
    except (Silent, sqlite3.Error):
        raise Absent(_CACHE_TEXT["cache-torn"]) from None
    if not found.text and not found.items and question.what in ("brief", "recall"):
        raise Absent("nothing that is kept bears on it")
    return found


_CACHE_TEXT = {
    "cache-none": "nothing is kept on this machine yet; `worklore sync` fetches it",
    "cache-torn": "what was kept is damaged; `worklore sync` fetches it anew",
    "cache-unreadable": "what is kept cannot be read",
    "cache-other-version": "what is kept is another version's; `worklore sync` fetches it anew",
    "cache-of-another": "what is kept is another hub's or token's; `worklore sync` fetches it anew",
}


def _fill(
    config: Config, question: Question, about: Mapping[str, Any], found: Answer, kept: Cache, *, number: int
) -> None:
    if question.what == "brief":
        text = kept.brief(number)
        found.text = OPENING + text + CLOSING if text else ""
    elif question.what == "recall":
        names = ("score", "id", "turn", "said_at", "author", "machine", "kind", "text")
        found.items = [dict(zip(names, row, strict=True)) for row in kept.recall(number, question.text)]
        lines = [memory_line(item["said_at"], item["author"], item["machine"], item["text"]) for item in found.items]
        found.text = _framed(lines)
    elif question.what == "warnings":
        told = dict(repeated(question.text, kept.failures(number)))
        found.items = [{"id": key, "line": line.strip()} for key, line in told.items()]
        found.text = "".join(told.values())
    else:
        found.items = _records(config, about, KIND[question.what])
        found.text = "".join(f"{journal.line_of(row)}\n" for row in found.items)


def _records(config: Config, about: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    found = cache.records_of(config, about, kind)
    if found is None:
        raise Absent(_CACHE_TEXT["cache-unreadable"])
    return found


def _framed(lines: list[str]) -> str:
    kept: list[str] = []
    room = CHARACTERS
    for line in lines:
        if len(line) <= room:
            kept.append(line)
            room -= len(line)
    return OPENING + "".join(kept) + CLOSING if kept else ""


# --- git, journal


def _git(_config: Config, question: Question, _about: Mapping[str, Any], answer: Answer) -> None:
    try:
        lines = history.read(question.folder)
    except history.NoHistory as absent:
        raise Absent(str(absent)) from None
    found = list(_of_history(question, lines))
    if not found:
        raise Absent("nothing in the commits bears on it")
    answer.items = [asdict(line) for line in found]
    shown = [f"{line.shown()}\n" for line in found]
    answer.text = _framed(shown) if question.what in ("brief", "recall") else "".join(shown)
    answer.age = max(0.0, time.time() - _seconds(found[0].said_at))


def _of_history(question: Question, lines: list[history.Line]) -> Iterator[history.Line]:
    if question.what == "brief":
        commits = [line for line in lines if line.kind == "commit"]
        yield from [line for line in lines if line.kind == "decision"][: history.LATEST]
        yield from commits[: history.LATEST]
    elif question.what == "recall":
        yield from history.best(lines, question.text)
    elif question.what == "warnings":
        yield from history.best([line for line in lines if line.kind == "warning"], question.text)
    else:
        yield from (line for line in lines if line.kind == KIND[question.what])


def _seconds(text: str) -> float:
    from datetime import datetime  # noqa: PLC0415 - one layer needs it

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return time.time()


def _journal(config: Config, question: Question, _about: Mapping[str, Any], answer: Answer) -> None:
    place = journal.place_of(config.home, question.folder)
    if place is None:
        raise Absent("this project keeps none here (worklore offline journal on)")
    lines, seconds = journal.entries(place, KIND.get(question.what, question.what))
    if question.what in ("recall", "warnings"):
        lines = [lines[at] for at in bearing(lines, question.text)[:20]]
    if not lines:
        raise Absent("nothing in it bears on it")
    answer.age = seconds
    answer.items = [{"text": line} for line in lines]
    shown = [f"{line}\n" for line in lines]
    answer.text = _framed(shown) if question.what in ("brief", "recall") else "".join(shown)


_LOOKS: tuple[tuple[str, Callable[[Config, Question, Mapping[str, Any], Answer], None]], ...] = (
    (HUB, _hub),
    (CACHE, _cache),
    (GIT, _git),
    (JOURNAL, _journal),
)
