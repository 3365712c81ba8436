"""``worklore config``: the settings and where each comes from."""

import argparse
import json
from typing import Any

from worklore.kernel.settings import describe, load


def add(commands: Any) -> None:
    """What the command takes."""
    config = commands.add_parser("config", help="show the settings and where each comes from")
    config.add_argument("task", choices=["show"])
    config.add_argument("--json", action="store_true")
    config.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print each setting, its value (masked when secret) and where it comes from."""
    rows = describe(load())
    if options.json:
        print(json.dumps(rows, indent=2))  # noqa: T201 - a command's answer
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{width}}  {row['value'] or '-'}  ({row['source']})")  # noqa: T201 - a command's answer
    return 0
