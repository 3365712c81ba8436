"""The pages name every code that the hub answers with and every code of a hook's log, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations" / "troubleshooting.md"
CODE = re.compile(r"[a-z]+(-[a-z]+)*")
TELLERS = {"Silent", "log", "without_hub"}
"""Whom a hook's code is handed to."""
HOOK_CODE = re.compile(r"[a-z]+(?:-[a-z]+)*-[a-z]*")
PASSED_ON = {"code", "text"}
"""Names behind ``code=`` that hand on what a caller has given; a code that hides behind another name is not seen."""


def trees(package: str) -> Iterator[ast.Module]:
    for path in sorted((ROOT / "src" / package).rglob("*.py")):
        yield ast.parse(path.read_text())


def values(tree: ast.Module) -> Iterator[ast.expr]:
    """What stands behind ``code=`` in calls and in the bodies of classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                value = getattr(line, "value", None)
                if isinstance(target, ast.Name) and target.id == "code" and value is not None:
                    yield value


def answered() -> set[str]:
    """Every code in the hub's source."""
    codes: set[str | None] = set()
    for tree in trees("worklore"):
        for value in values(tree):
            if isinstance(value, ast.Name):
                assert value.id in PASSED_ON, ast.unparse(value)
            branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            codes.update(each.value for each in branches if isinstance(each, ast.Constant))
    return {code for code in codes if code is not None and CODE.fullmatch(code)}  # None: a field of a body


def silent() -> set[str]:
    """Every code that a hook writes into its log; one that ends in something variable ends in ``-`` here."""
    codes: set[str] = set()
    for node in (node for tree in trees("worklore_client") for node in ast.walk(tree)):
        said: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TELLERS:
            said = node.args[-1:]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
            said = [node.value]
        parts = [part.value for each in said for part in ast.walk(each) if isinstance(part, ast.Constant)]
        codes.update(part for part in parts if isinstance(part, str) and HOOK_CODE.fullmatch(part))
    return codes


def entries(section: str) -> list[str]:
    """The codes in the first cells of a section's tables; each row says what it means and what to do."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    found: list[str] = []
    for row in re.findall(r"^\| (`.+) \|$", text, re.MULTILINE):
        code, means, do = row.split(" | ")
        assert len(means) > 10
        assert do
        found += re.findall(r"`([^`]+)`", code)
    return found


def test_every_code_that_the_hub_answers_with_is_explained_once_and_no_other() -> None:
    explained, known = entries("Errors by their code"), answered()
    assert {"internal", "schema-older", "schema-interrupted", "stale-version"} <= known, "the search finds too little"
    assert sorted(explained) == sorted(known)


def test_every_code_of_a_hook_is_explained_once_and_no_other() -> None:
    explained = [re.sub(r"(?<=-)[A-Z]+$", "", code) for code in entries("Codes in hook.log")]
    assert {"not-connected", "answer-"} <= silent(), "the search finds too little"
    assert sorted(explained) == sorted({*silent(), "internal-"})


def test_codes_that_the_pages_name_elsewhere_are_explained() -> None:
    table = set(entries("Errors by their code")) | set(entries("Codes in hook.log"))
    for document in [*(ROOT / "docs" / "operations").glob("*.md"), ROOT / "docs" / "rest.md"]:
        beside_status = re.findall(r"\b[45]\d\d `([a-z]+-[a-z-]+)`", document.read_text())
        assert set(beside_status) <= table, document.name
