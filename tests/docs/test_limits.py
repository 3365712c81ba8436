"""The page about REST names every limit that the hub tells of, with its figure."""

import ast
import re
from pathlib import Path

from worklore.kernel import query, wire
from worklore.surfaces import http, rest
from worklore.vault import secret

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {
    "body-bytes": http.MAX_BODY,
    "body-pause-seconds": http.IDLE_SECONDS,
    "address-bytes": http.MAX_ADDRESS,
    "header-bytes": http.MAX_HEADERS,
    "bulk-rows": rest.MAX_BULK,
    "json-depth": wire.MAX_DEPTH,
    "secret-bytes": secret.MAX_SECRET,
    "values-of-a-filter": query.MAX_IN,
    "words-of-a-search": query.MAX_WORDS,
}
PARAMETERS = {"limit": query.MAX_LIMIT, "offset": query.MAX_OFFSET}
"""Limits that are told under the name of the parameter."""


def told() -> set[str]:
    """The names of the limits in the hub's source."""
    names: set[str] = set()
    for path in (ROOT / "src/worklore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "limit":
                names.update(each.value for each in node.args[:1] if isinstance(each, ast.Constant))
    return names


def test_every_limit_is_named_with_its_figure_and_no_other() -> None:
    section = (ROOT / "docs/rest.md").read_text().split("\n## Limits\n")[1].split("\n## ")[0]
    named = {
        name: int(most.replace(",", ""))
        for name, most in re.findall(r"^\| `([a-z-]+)` \| ([\d,]+) \|", section, re.MULTILINE)
    }
    assert told() == set(LIMITS)
    assert named == LIMITS | PARAMETERS
