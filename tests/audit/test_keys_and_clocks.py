"""A clock that is wrong harms no chain, another hub's key is refused, and old checkpoints become fewer."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.audit.conftest import Chained, at
from tests.audit.test_hub import audit
from worklore.app import build
from worklore.identity.keys import load_key
from worklore.kernel.errors import UnavailableError
from worklore.kernel.nodes import AuditCheckpoint
from worklore.kernel.settings import Settings
from worklore.ops.audit_chain import KEY_FILE, Extension, extends, newest
from worklore.ops.audit_verify import State
from worklore.ops.retention import thin_checkpoints

HOUR = 3_600 * 10**9
DAY = 24 * HOUR


def test_a_clock_that_jumps_breaks_no_chain(everywhere: Chained) -> None:
    now, made = time.time_ns(), []
    for shift in (0, HOUR, -HOUR, 366 * DAY, 0):
        with at(now + shift):
            everywhere.add()
            everywhere.another_chain()
            everywhere.add()
            made.append(everywhere.checkpoint())
        with everywhere.database.reading.connect() as connection:
            assert newest(connection) == made[-1]
    for earlier, later in pairwise(made):
        assert extends(earlier, later) is Extension.extended
    verdict = everywhere.verify()
    assert (verdict.state, verdict.breaks, verdict.missing) == (State.intact, [], [])


def test_a_hub_with_another_key_is_told_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    own, other = tmp_path / "own", tmp_path / "other"
    build(Settings(data=own, database_url=url)).close()
    other.mkdir()
    load_key(other / KEY_FILE, create=True)
    with pytest.raises(UnavailableError) as refused:
        build(Settings(data=other, database_url=url))
    assert refused.value.code == "key-foreign"
    assert audit(own, "verify", url=url).returncode == 0
    # The operator's word that the former key is lost.
    said = audit(other, "accept-key", url=url)
    assert (said.returncode, "goes on with the key" in said.stdout) == (0, True), said.stderr
    build(Settings(data=other, database_url=url)).close()
    told = json.loads(audit(other, "verify", "--key", str(own / KEY_FILE), "--json", url=url).stdout)
    assert (told["state"], told["breaks"]) == ("intact", [])
    with pytest.raises(UnavailableError):
        build(Settings(data=own, database_url=url))


def test_old_checkpoints_become_one_an_hour(chained: Chained) -> None:
    # Forty days ago: twelve within one hour, one in each of the next three; and five of now.
    began = (time.time_ns() - 40 * DAY) // HOUR * HOUR
    moments = [began + minute * HOUR // 60 for minute in range(0, 60, 5)] + [began + hour * HOUR for hour in (1, 2, 3)]
    for moment in [*moments, *[None] * 5]:
        with at(moment or time.time_ns()):
            chained.add()
            chained.checkpoint()
    with chained.database.reading.connect() as connection:
        last = newest(connection)
    for _ in range(2):
        thin_checkpoints(chained.database)
        with chained.database.reading.connect() as connection:
            times = connection.execute(select(AuditCheckpoint.at).order_by(AuditCheckpoint.at)).scalars().all()
            assert newest(connection) == last
            assert connection.scalar(select(func.count()).select_from(AuditCheckpoint)) == 9
        assert times[:4] == [moments[11] // 1000, *(moment // 1000 for moment in moments[12:])]
    assert chained.verify().state is State.intact


def test_the_statements_for_a_user_are_printed(everywhere: Chained, tmp_path: Path) -> None:
    url, made = everywhere.url.render_as_string(hide_password=False), everywhere.database
    for wrong in ("hub; DROP", "", "a@b c"):
        assert audit(tmp_path, "grants", wrong, url=url).returncode == 2
    said = audit(tmp_path, "grants", "hub@192.0.2.7", url=url)
    if made.is_sqlite:
        assert (said.returncode, "no users" in said.stderr) == (2, True)
        return
    user = '"hub"' if made.dialect == "postgresql" else "'hub'@'192.0.2.7'"
    lines = said.stdout.splitlines()
    assert f"GRANT SELECT, INSERT ON audit_log TO {user};" in lines
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON clients TO {user};" in lines
