"""Many entries by four writers at once: no false alarm, and a verification whose memory does not grow with them."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from tests.audit.conftest import Chained
from tests.audit.test_hub import environment
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


def test_many_entries_without_a_false_alarm_and_in_flat_memory(schema_url: URL, tmp_path: Path) -> None:
    made = Chained(schema_url, tmp_path)
    made.begin()
    with ThreadPoolExecutor(WRITERS) as pool:
        for number, _ in enumerate(pool.map(made.database.write, [partial(write, number=n) for n in range(units())])):
            if number % 100 == 0:
                made.checkpoint()
    made.close()
    url = schema_url.render_as_string(hide_password=False)
    verdict, used = verified(tmp_path, url)
    speed = f"{verdict['per_second']:,} entries a second in {verdict['seconds']} s, {used} MiB"
    print(f"{made.database.dialect}: {verdict['records']:,} entries in {verdict['chains']} chains, {speed}")  # noqa: T201 - the figure
    assert (verdict["state"], verdict["breaks"], verdict["missing"]) == ("intact", [], [])
    assert verdict["records"] == units() * UNIT + 3
    assert used < MOST_MIB


def verified(folder: Path, url: str) -> tuple[dict[str, Any], int]:
    """What the command found, and the MiB that its own process took at most."""
    told = folder / "told"
    with told.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "worklore", "audit", "verify", "--json"],
            env=environment(folder.parent, WORKLORE_DATA=str(folder), WORKLORE_DATABASE_URL=url),
            stdout=out,
        )
        # Not by getrusage: to the kernel, what this process took before it became the command counts too.
        status, most = Path(f"/proc/{process.pid}/status"), 0
        while process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            most = max(most, int(found[1]) if found else 0)
            time.sleep(0.02)
    return json.loads(told.read_bytes()), most // 1024


def units() -> int:
    return ENTRIES // UNIT
