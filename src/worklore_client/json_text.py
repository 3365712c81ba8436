"""Editing JSON as text: a member or an item goes in or out and every other byte stays as its owner wrote it.

Comments and a comma after the last item, which some programs allow in their settings, are passed over as white space;
whether they are allowed is for the caller to say.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^\s,\]}]+")
_BESIDE = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=[ \t\r\n]*[\]}])', re.DOTALL)


@dataclass
class Node:
    """A value and where it stands: ``text[start:end]``. `keys` runs beside `items` in an object, None in others."""

    start: int
    end: int
    items: "list[Node]" = field(default_factory=list["Node"])
    keys: list[str] | None = None
    starts: list[int] = field(default_factory=list[int])
    """Where each item begins, in an object with its key."""

    def index(self, key: str) -> int | None:
        """The place of a member; of several with one key the last, which is the one that counts."""
        places = [place for place, name in enumerate(self.keys or []) if name == key]
        return places[-1] if places else None

    def member(self, key: str) -> "Node | None":
        """The value of a member."""
        place = self.index(key)
        return None if place is None else self.items[place]


def plain(text: str) -> str:
    """`text` with spaces in the place of comments and of commas after a last item: as long as it was."""
    return _LAST_COMMA.sub(_spaces, _uncommented(text))


def _uncommented(text: str) -> str:
    return _BESIDE.sub(_spaces, text) if "/" in text else text


def _spaces(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.startswith('"') else re.sub(r"[^\r\n]", " ", found)


def parse(text: str) -> Node:
    """The tree of `text`. ValueError, with line and column, when it is not JSON (or nested beyond reason)."""
    text = plain(text)
    try:
        json.loads(text)
        node, _ = _value(text, _past_space(text, 0))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return node


def _past_space(text: str, at: int) -> int:
    return _end(_SPACE, text, at)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    if match is None:  # json.loads has accepted the text, so this is a fault of the patterns
        raise ValueError(f"cannot tell what stands at character {at}")
    return match.end()


def _value(text: str, at: int) -> tuple[Node, int]:
    opening = text[at]
    if opening not in "{[":
        end = _end(_STRING if opening == '"' else _SCALAR, text, at)
        return Node(at, end), end
    node = Node(at, at, keys=[] if opening == "{" else None)
    cursor = _past_space(text, at + 1)
    while text[cursor] not in "}]":
        node.starts.append(cursor)
        if node.keys is not None:
            end = _end(_STRING, text, cursor)
            node.keys.append(json.loads(text[cursor:end]))
            cursor = end
            cursor = _past_space(text, _past_space(text, cursor) + 1)
        item, cursor = _value(text, cursor)
        node.items.append(item)
        cursor = _past_space(text, cursor)
        if text[cursor] == ",":
            cursor = _past_space(text, cursor + 1)
    node.end = cursor + 1
    return node, node.end


def append(text: str, container: Node, value: Any, key: str | None = None) -> str:
    """`text` with `value` as the last item of an array, or under `key` as the last member of an object.

    It is laid out as its neighbours are: over several lines where the document is, on one line where it is not.
    """
    many_lines = "\n" in text or container.end - container.start == len(text.strip())
    unit, newline = _indent(text), "\r\n" if "\r\n" in text else "\n"
    if container.items:
        before = container.starts[-1] - len(_space_before(text, container.starts[-1]))
        gap = text[before : container.starts[-1]]
        margin = gap.rpartition("\n")[2] if "\n" in gap else _margin(text, container.start) + unit
        at, end, closing = container.items[-1].end, container.items[-1].end, ""
        opening = "," + (gap or (" " if not many_lines else ""))
    else:
        margin = _margin(text, container.start) + unit
        at, end = container.start + 1, container.end - 1
        opening = newline + margin if many_lines else ""
        closing = newline + _margin(text, container.start) if many_lines else ""
        if text[at:end].strip():  # a comment: it stays, behind what goes in
            end, closing = at, ""
    written = json.dumps(value, ensure_ascii=False, indent=unit if many_lines else None)
    if key is not None:
        written = f"{json.dumps(key, ensure_ascii=False)}: {written}"
    return text[:at] + opening + written.replace("\n", newline + margin) + closing + text[end:]


def remove(text: str, container: Node, place: int) -> str:
    """`text` without one item or member and the comma that belonged to it."""
    items, starts = container.items, container.starts
    if place + 1 < len(items):
        between = text[items[place].end : starts[place + 1]]
        if between.strip() == ",":
            return text[: starts[place]] + text[starts[place + 1] :]
        comma = plain(text).index(",", items[place].end)  # a comment stands between them: it stays
        return text[: starts[place]] + text[items[place].end : comma] + text[comma + 1 :]
    if place:
        before = text[items[place - 1].end : starts[place]]
        if before.strip() == ",":
            return text[: items[place - 1].end] + text[items[place].end :]
        comma = plain(text).index(",", items[place - 1].end)
        return text[:comma] + text[comma + 1 : starts[place]] + text[items[place].end :]
    before, after = text[container.start + 1 : starts[0]], text[items[0].end : container.end - 1]
    comma = _uncommented(text)[items[0].end : container.end - 1].find(",")
    if comma >= 0:
        after = after[:comma] + after[comma + 1 :]
    kept = before.rstrip(" \t\r\n") + after if (before + after).strip() else ""
    return text[: container.start + 1] + kept + text[container.end - 1 :]


def _space_before(text: str, at: int) -> str:
    start = at
    while start and text[start - 1] in " \t\r\n":
        start -= 1
    return text[start:at]


def _margin(text: str, at: int) -> str:
    """The indentation of the line that holds position `at`."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent(text: str) -> str:
    """One step of the document's indentation; two spaces where it shows none."""
    match = re.search(r"[{\[]\r?\n([ \t]+)", text)
    return match.group(1) if match else "  "
