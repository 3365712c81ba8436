"""The catalogue tells the truth, is committed as it is, and leaves the command line no name twice."""

import json
from typing import Any

import pytest
import typer.main
from rich.console import Console

from worklore.kernel.query import filterable, sortable, suffixes
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.wire import wire
from worklore.resources import ACTIONS, CATALOG, RESOURCES
from worklore.surfaces.catalog import catalog_text, describe_catalog
from worklore_cli import catalog, nouns, nouns_commands, nouns_shown
from worklore_cli.main import app

TOLD = json.loads(catalog_text(CATALOG))
NOUNS: dict[str, Any] = {noun["name"]: noun for noun in TOLD["nouns"]}
OWN_VERBS = {"list", "show", "add", "set", "rm", "import"}


def test_the_committed_copy_is_the_present_one() -> None:
    assert catalog.PATH.read_text(encoding="utf-8") == catalog_text(CATALOG), "run `make reference` and commit it"


def test_the_text_is_the_data_in_a_stable_order() -> None:
    assert describe_catalog(CATALOG) == TOLD
    assert list(NOUNS) == sorted(resource.name for resource in RESOURCES)
    assert len(TOLD["actions"]) == len(ACTIONS)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_noun_is_told_as_the_hub_has_it(resource: Resource) -> None:
    told, schemas = NOUNS[resource.name], wire(resource)
    fields = {field["name"]: field for field in told["fields"]}
    assert set(schemas.fields) <= set(fields)
    assert not {field.key for field in resource.hidden} & set(told.get("brief", ()))
    assert told["filters"] == {name: list(suffixes(resource, name)) for name in filterable(resource)}
    assert told["sort"] == list(sortable(resource))
    for use, verb, model in (("create", Verb.create, schemas.create), ("change", Verb.patch, schemas.patch)):
        offered = set(model.model_fields) if verb in resource.verbs else set()
        assert {name for name, field in fields.items() if field.get(use)} == offered
    if Verb.create in resource.verbs:
        needed = {name for name, field in schemas.create.model_fields.items() if field.is_required()}
        assert {name for name, field in fields.items() if field.get("required")} == needed
    for name, column in schemas.fields.items():
        parents = {CATALOG.by_table.get(key.column.table.description) for key in column.foreign_keys} - {None}
        assert fields[name].get("reference") == next((parent.name for parent in parents if parent), None), name
        assert bool(fields[name].get("null")) == column.nullable, name
        assert (fields[name]["type"] == "choice") == bool(getattr(column.type, "enums", None)), name


def test_no_noun_or_verb_takes_the_name_of_a_command() -> None:
    own = set(typer.main.get_group(app).commands)
    assert {"connect", "status", "serve", "config"} <= own
    plurals = {noun["plural"] for noun in TOLD["nouns"]} - set(NOUNS)
    verbs = set(catalog.own_actions())
    assert len(plurals) == sum(noun["plural"] != noun["name"] for noun in TOLD["nouns"]), "two nouns with one plural"
    assert own & (set(NOUNS) | plurals) == set()
    assert verbs & (set(NOUNS) | plurals) == set()
    assert own & verbs == nouns.BY_HAND & verbs
    for name in NOUNS:
        of_noun = [action.name for action in catalog.actions_of(name)]
        assert len(of_noun) == len(set(of_noun)), name
        assert set(of_noun) & OWN_VERBS == set(), name


def test_every_action_is_a_command_somewhere() -> None:
    reached = [action for name in NOUNS for action in catalog.actions_of(name)] + list(catalog.own_actions().values())
    assert sorted((action.noun, action.path or action.name) for action in reached) == sorted(
        (action.on or "", action.name if action.on else action.path or action.name) for action in ACTIONS
    )


BESIDES = {"memory": ("sweep", "reindex")}
"""Commands of the hub's own machine that stand beside a noun's verbs."""


@pytest.mark.parametrize("name", NOUNS)
def test_the_commands_of_a_noun_are_those_its_verbs_allow(name: str) -> None:
    made = nouns_commands.commands(catalog.noun(name))
    names = {"list": "list", "get": "show", "create": "add", "patch": "set", "delete": "rm"}
    own = {action.name for action in catalog.actions_of(name)}
    assert set(made) - {"import", *BESIDES.get(name, ())} - own == {names[verb] for verb in NOUNS[name]["verbs"]}
    for use in ("create", "change"):
        console = Console(width=80)
        with console.capture() as capture:
            console.print(nouns_shown.fields_table(catalog.noun(name).where(use), creating=use == "create"))
        shown = capture.get()
        for field in NOUNS[name]["fields"]:
            if field.get(use):
                assert field["name"] in shown
                assert all(choice in shown for choice in field.get("choices", ()))


@pytest.mark.parametrize("verb", ["list", "show", "add", "set", "rm", "import"])
def test_a_command_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        typer.main.get_command(app)(["client", verb, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f" client {verb} " in shown
    expected = {
        "list": "__contains",
        "add": "msp_client | internal | project",
        "set": "msp_client | internal | project",
    }
    assert expected.get(verb, "--help") in shown
