"""The commands of every noun, made from the catalogue when they are asked for and not before.

``worklore --help`` reads only names and descriptions; a command's own module, and the rest of its noun, is made when
that noun is named.
"""

from typing import Any, Final

from rich.markup import escape
from typer.core import TyperGroup

from worklore_cli import catalog

BY_HAND: Final = frozenset({"capture", "recall", "warn"})
"""Verbs of the hub that have a command made for people."""
NOUNS: Final = "Nouns (list, show, add, set, rm, import and verbs of their own)"
VERBS: Final = "Verbs of the hub"
EPILOG: Final = (
    "Lists take --filter, --search, --sort, --fields, --limit, --all, --json and --csv; writes take --json FILE, "
    "--message, --dry-run and --yes; rm --cascade; import --key and --preview. --help of each explains them. "
    "An ID may be shortened to what is unique."
)


class RootGroup(TyperGroup):
    """The program's commands, those of the catalogue behind them. A noun is known by its plural too."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names for help: the program's own, the nouns, the verbs that belong to no noun."""
        verbs = [name for name in catalog.own_actions() if name not in BY_HAND]
        return [*super().list_commands(ctx), *catalog.descriptions(), *verbs]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None when there is none."""
        made = super().get_command(ctx, cmd_name)
        if made is not None:
            return made
        name = catalog.plurals().get(cmd_name, cmd_name)
        if name in catalog.descriptions():
            return NounGroup(name)
        if name in catalog.own_actions():
            from worklore_cli import nouns_commands  # noqa: PLC0415 - made when it is asked for

            return nouns_commands.own_command(catalog.own_actions()[name], VERBS)
        return None


class NounGroup(TyperGroup):
    """The commands of one noun."""

    def __init__(self, name: str) -> None:
        self._noun = name
        super().__init__(
            name=name,
            help=escape(catalog.descriptions()[name]),
            epilog=escape(EPILOG),
            rich_help_panel=NOUNS,
            no_args_is_help=True,
        )

    def _made(self) -> Any:
        if not self.commands:
            from worklore_cli import nouns_commands  # noqa: PLC0415 - made when it is asked for

            self.commands.update(nouns_commands.commands(catalog.noun(self._noun)))
        return self.commands

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is Typer's
        """The noun's verbs."""
        return list(self._made())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is Typer's
        """The command of a verb; None when the noun does not have it."""
        return self._made().get(cmd_name)
