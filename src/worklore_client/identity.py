"""The identity of a project as the hub asks for it: remote, root commit, marker, path and name."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, cast

from worklore_client.config import write_private
from worklore_client.events import SWITCH
from worklore_client.project import find_project

GIT_SECONDS = 5.0
RETRY_SECONDS = 86_400.0
"""A repository whose history took too long to walk is asked again after a day."""


def identity(folder: str, cache: Path) -> dict[str, Any]:
    """The identity object of the project around `folder`; what is not known is None.

    `cache` is the JSON file that remembers root commits: finding one walks the repository's whole history.
    """
    root, remote, marker = find_project(folder)
    return {
        "remote": remote or None,
        "root_commit": root_commit(root, cache) if (Path(root) / ".git").exists() else None,
        "marker": marker or None,
        "path": root,
        "name": Path(root).name or root,
    }


def root_commit(root: str, cache: Path) -> str | None:
    """The first commit of the history at `root`: of several the smallest name, so that every clone says the same.

    None in a shallow clone (its oldest commit is not the first), without git, without a commit, or when git needs
    longer than `GIT_SECONDS`.
    """
    known = _read(cache)
    entry = known.get(root)
    if isinstance(entry, str):
        return entry
    if isinstance(entry, (int, float)) and time.time() < entry:
        return None
    try:
        found = _ask_git(root)
    except (subprocess.TimeoutExpired, OSError):
        found = ""
        known[root] = time.time() + RETRY_SECONDS
    if found:
        known[root] = found
    if root in known:
        write_private(cache, json.dumps(known))
    return found or None


def _ask_git(root: str) -> str:
    git = ["git", "-C", root]
    if _output([*git, "rev-parse", "--is-shallow-repository"]) != "false":
        return ""
    return min(_output([*git, "rev-list", "--max-parents=0", "HEAD"]).split(), default="")


def _output(command: list[str]) -> str:
    environment = {**os.environ, SWITCH: "off", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(  # noqa: S603 - fixed arguments; the folder is data to git, not an option
        command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False, env=environment
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(cache: Path) -> dict[str, Any]:
    try:
        known: Any = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a cache: what is lost is asked again
    return cast("dict[str, Any]", known) if isinstance(known, dict) else {}
