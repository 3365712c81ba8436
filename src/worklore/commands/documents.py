"""``worklore openapi`` and ``worklore catalog``: the product described as data."""

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    """What the commands take."""
    document = commands.add_parser("openapi", help="print the OpenAPI document")
    document.set_defaults(run=print_openapi)
    catalogue = commands.add_parser("catalog", help="print every noun and verb as data, for the command line")
    catalogue.set_defaults(run=print_catalog)


def print_openapi(_: argparse.Namespace) -> int:
    """Print the OpenAPI document."""
    from worklore.app import openapi_document  # noqa: PLC0415 - only here

    print(json.dumps(openapi_document(), indent=1, sort_keys=True))  # noqa: T201 - a command's answer
    return 0


def print_catalog(_: argparse.Namespace) -> int:
    """Print every noun and verb as data."""
    from worklore.resources import CATALOG  # noqa: PLC0415 - only here
    from worklore.surfaces.catalog import catalog_text  # noqa: PLC0415 - only here

    print(catalog_text(CATALOG), end="")  # noqa: T201 - a command's answer
    return 0
