"""The documents agree with the product: commands exist, links resolve, the index of decisions is complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from worklore.kernel.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}
REFERENCE = (ROOT / "docs/reference/commands.md").read_text()
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def code_of(document: Path) -> list[str]:
    """Every line of a fenced block and every code span."""
    text = document.read_text()
    fenced = [line for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    return fenced + CODE_SPAN.findall(FENCE.sub("", text))


def commands_in(document: Path, program: str) -> set[str]:
    """The first word after ``program`` wherever a document shows the command being run."""
    start = rf"(?:^|&& |\bsudo |[;(] ?|/bin/|\$ ){program}((?: -C \S+| [A-Z]+=\S+)*) ([a-z][a-z-]*)"
    return {found[1] for line in code_of(document) for found in re.findall(start, line)}


def anchors(document: Path) -> set[str]:
    """The anchors that a forge makes from headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def output_of(*command: str) -> str:
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_resolve(document: Path) -> None:
    broken: list[str] = []
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_commands_that_documents_name_exist() -> None:
    listed = output_of(str(Path(sys.executable).with_name("worklore")), "--help")
    offered = set(re.findall(r"^\W*([a-z][a-z-]*)\s{2,}", listed, re.MULTILINE))
    named = {name: document for document in DOCUMENTS for name in commands_in(document, "worklore")}
    assert {"connect", "doctor", "serve", "recall"} <= set(named), "the search in the documents finds nothing"
    assert {name: str(where) for name, where in named.items() if name not in offered} == {}


BY_HAND = {"credential": ("report",), "memory": ("stats", "sweep")}
"""Verbs of nouns whose options are their own."""


def test_options_that_documents_name_exist() -> None:
    used: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        for line in code_of(document):
            for name, rest in re.findall(r"(?:^|[ /])worklore ([a-z]+)((?: [^ #|;&]+)*)", line):
                used.setdefault(name, set()).update(re.findall(r"(?<= )--[a-z-]+", rest))
    assert "--code" in used["connect"], "the search in the documents finds nothing"
    for name, options in used.items():
        if options:
            # The reference is made from what commands and their tasks explain of themselves; nouns are not in it.
            known = re.findall(rf"^##+ worklore {name}\b.*?(?=^##|\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
            explained = "".join(known) or output_of(str(Path(sys.executable).with_name("worklore")), name, "--help")
            # Those of a noun's own verbs stand in the verb's help.
            for verb in BY_HAND.get(name, ()):
                explained += output_of(str(Path(sys.executable).with_name("worklore")), name, verb, "--help")
            assert {option for option in options if not re.search(rf"{option}\b", explained)} == set(), name


def test_make_targets_that_documents_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    offered = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = {name: document for document in DOCUMENTS for name in commands_in(document, "make")}
    assert {"run", "test", "demo"} <= set(named), "the search in the documents finds nothing"
    assert {name: str(where) for name, where in named.items() if name not in offered} == {}


def test_make_without_a_target_explains_every_public_one() -> None:
    shown = output_of("make", "--no-print-directory")
    for target in ("setup", "run", "demo", "test", "check", "bench", "reference", "migration", "clean"):
        assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE), target
    for variable in ("HOST", "PORT", "DATABASE", "PYTHON"):
        assert re.search(rf"^  {variable} +\S", shown, re.MULTILINE), variable


def test_every_decision_stands_in_the_index_once_and_in_order() -> None:
    folder = ROOT / "docs" / "adr"
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    indexed = re.findall(r"^\| \[(\d+)\]\(([^)]+)\) \| (.+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [name for _, name, _ in indexed] == files
    for position, (number, name, title) in enumerate(indexed, start=1):
        text = (folder / name).read_text()
        assert int(number) == position == int(name[:4])
        assert text.startswith(f"# {number}. {title}\n")
        sections = ["## Context", "## Decision", "## Consequences", "## Alternatives"]
        assert [line for line in text.splitlines() if line.startswith("## ")] == sections


def test_environment_variables_that_documents_name_are_read_somewhere() -> None:
    readers = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), ROOT / "Makefile", ROOT / ".ci" / "run"]
    source = "\n".join(path.read_text() for path in readers if path != Path(__file__))
    named = {name for document in DOCUMENTS for name in re.findall(r"WORKLORE_[A-Z_]*[A-Z]", document.read_text())}
    assert {name for name in named - SETTINGS if name not in source} == set()


@pytest.mark.parametrize("document", [".env.example", "docs/operations/install.md"])
def test_every_setting_is_documented_and_no_other(document: str) -> None:
    named = set(re.findall(r"WORKLORE_[A-Z_]*[A-Z]", (ROOT / document).read_text()))
    assert named - {"WORKLORE_CONFIG"} == SETTINGS


def test_the_example_of_settings_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#WORKLORE_(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for name, field in Settings.model_fields.items():
        if name != "data":  # depends on who runs it
            assert shown[name.upper()] == ("" if field.default is None else str(field.default)), name


def test_the_architecture_names_every_folder_of_the_hub_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text().split("| folder in `src/worklore` |")[1].split("\n\n")[0]
    named = {name for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in CODE_SPAN.findall(row)}
    hub = ROOT / "src" / "worklore"
    folders = {path.name for path in hub.iterdir() if any(path.glob("*.py"))}
    assert {name for name in named if not name.endswith(".py")} == folders
    assert all((hub / name).exists() for name in named)


def test_the_way_through_the_pages_leads_to_every_one() -> None:
    start = ROOT / "docs" / "README.md"
    linked = {(start.parent / target.partition("#")[0]).resolve() for target in LINK.findall(start.read_text())}
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "adr"} - {start}
    assert pages - linked == set()
