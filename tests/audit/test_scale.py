"""Many entries by four writers at once: no false alarm, and a verification whose memory does not grow with them."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.audit.conftest import Chained
from tests.processes.test_serve import environment
from worklore.kernel import audit as kernel_audit
from worklore.kernel.context import Context
from worklore.kernel.types import uuid7

ENTRIES = int(os.environ.get("WORKLORE_AUDIT_ENTRIES", "8000"))
WRITERS = 4
UNIT = 1_000
"""Entries of one unit of work, appended as a flush appends them."""
MOST_MIB = 300


def write(ctx: Context, number: int) -> None:
    made = []
    for _ in range(UNIT):
        who: dict[str, Any] = kernel_audit._who(ctx.session)
        facts = {"action": "update", "table_name": "clients", "record_id": uuid7(), "client_id": None}
        made.append(who | facts | {"changed": {"notes": [None, f"Größe {number}"], "rate": [1.50, 2]}})
    kernel_audit._append(ctx.session, made)


def verified(made: Chained, output: Path) -> tuple[dict[str, Any], int]:
    """What the command says, and the most memory that it had, in MiB."""
    variables = environment(
        made.folder.parent,
        WORKLORE_DATA=str(made.folder),
        WORKLORE_DATABASE_URL=made.url.render_as_string(hide_password=False),
    )
    with output.open("wb") as out:
        command = [sys.executable, "-m", "worklore", "audit", "verify", "--json"]
        child = subprocess.Popen(command, env=variables, stdout=out)
        _, status, used = os.wait4(child.pid, 0)  # of this process alone
        child.returncode = os.waitstatus_to_exitcode(status)
    found: dict[str, Any] = json.loads(output.read_text())
    return found, used.ru_maxrss // 1024


def test_many_entries_without_a_false_alarm_and_in_flat_memory(everywhere: Chained, tmp_path: Path) -> None:
    made, before = everywhere, everywhere.verify().records
    with ThreadPoolExecutor(WRITERS) as pool:
        works = [partial(write, number=number) for number in range(ENTRIES // UNIT)]
        for number, _ in enumerate(pool.map(made.database.write, works)):
            if number % 100 == 0:
                made.checkpoint()
    verdict, used = verified(made, tmp_path / "verdict.json")
    speed = f"{verdict['per_second']:,} entries a second in {verdict['seconds']} s, {used} MiB"
    print(f"{made.database.dialect}: {verdict['records']:,} entries in {verdict['chains']} chains, {speed}")  # noqa: T201 - the figure
    assert (verdict["state"], verdict["breaks"], verdict["missing"]) == ("intact", [], [])
    assert verdict["records"] == before + len(works) * UNIT
    assert used < MOST_MIB
