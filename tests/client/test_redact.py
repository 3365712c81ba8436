"""`worklore redact`, and what leaves a machine."""

import json
import subprocess
import sys
from pathlib import Path

from worklore_client.flush import flush
from worklore_client.record import LineCutter, outgoing, records_in

from .conftest import Machine, PretendedHub, record, write_records
from .test_flush import noted

SAID = "the admin pw for FW01 is Tr0ub4dor&3\nlunch at noon\nPIN 4711\n"
LEFT = "the admin pw for FW01 is [redacted:password]\nlunch at noon\nPIN [redacted:pin]\n"


def redacted(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "worklore_cli", "redact", *arguments], input=given, capture_output=True, check=False
    )


def test_a_file_and_a_pipe_come_out_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(SAID)
    done = redacted(str(path))
    assert (done.returncode, done.stdout.decode()) == (0, LEFT)
    assert done.stderr == b"1 password, 1 pin\n"
    latin = "Grüße\n".encode("latin-1")
    assert redacted("-", given=SAID.encode() + latin).stdout == LEFT.encode() + latin


def test_a_check_says_where_and_not_what(tmp_path: Path) -> None:
    done = redacted("--check", "-", given=SAID.encode())
    assert (done.returncode, done.stdout) == (1, b"-:1: password\n-:3: pin\n")
    assert redacted("--check", "-", given=b"password reset done").returncode == 0
    missing = redacted(str(tmp_path / "none"))
    assert missing.returncode == 1
    assert b"none" in missing.stderr


def test_facts_as_json() -> None:
    told = json.loads(redacted("--json", "-", given=SAID.encode()).stdout)
    assert told == {
        "state": "redacted",
        "found": {"password": 1, "pin": 1},
        "places": [{"rule": "password", "line": 1}, {"rule": "pin", "line": 3}],
        "text": LEFT,
    }
    assert "text" not in json.loads(redacted("--json", "--check", "-", given=SAID.encode()).stdout)


def test_nothing_leaves_the_machine_with_a_secret_in_it(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    call = {"type": "tool_use", "name": "Bash", "input": {"command": "mysql -u root -pGeheim77x app"}}
    answer = {"type": "tool_result", "content": "DB_PASSWORD=Geheim77x\n" + "x" * 20_000 + "\npw: Geheim77x"}
    kept = {"type": "tool_use", "name": "Login", "input": {"user": "anna", "password": "Geheim77x"}}
    write_records(
        transcript,
        [record(1, "the pw is Geheim77x"), record(2) | {"message": {"role": "user", "content": [call, answer, kept]}}],
    )
    noted(machine, transcript)
    assert flush(machine.home)
    sent = b"".join(request.body or b"" for request in hub.asked("/capture"))
    assert b"Geheim77x" not in sent
    assert sent.count(b"[redacted:password]") == 5
    assert b'"user": "anna"' in sent.replace(b'"user":"anna"', b'"user": "anna"')


def test_a_secret_that_was_cut_in_two_leaves_no_half() -> None:
    token = "ghp_" + "aB3dE6fG9h" * 4
    cutter = LineCutter(4_000, string_limit=100)
    cutter.feed(json.dumps({"type": "user", "text": "y" * 60 + " " + token + "z" * 500}).encode())
    assert cutter.line is not None
    [shortened], _ = records_in(cutter.line)
    assert "ghp_aB3" in shortened["text"]
    sent = outgoing(shortened)
    assert sent is not None
    assert "ghp_" not in sent["text"]
    assert sent["text"].startswith("y" * 60)
