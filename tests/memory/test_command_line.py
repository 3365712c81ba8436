"""Reading command lines and errors: what is called where, what failed, and what could destroy something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore.knowledge.insight import Confidence
from worklore.memory.used import own_words, rarities, used
from worklore.memory.warn.command_line import calls
from worklore.memory.warn.destructive import UNSAID, is_destructive, unpasteable
from worklore.memory.warn.evidence import EvidenceKind
from worklore.memory.warn.failure_class import CLASSES, MAX_SIGNATURE, failure_of, line_of, normalised
from worklore.memory.warn.judgement import Sign, judge
from worklore.memory.warn.known import same_host, triggers_of

from datetime import UTC, datetime, timedelta  # isort: skip

CALLS = {
    "cd /srv && sudo apt-get install -y nginx jq": [
        ("cd", ("/srv",), ""),
        ("apt-get install", ("nginx", "jq"), ""),
    ],
    "git -C /x push origin main --force": [("git push", ("origin", "main"), "")],
    "python3 -m pip install requests==2": [("pip install", ("requests==2",), "")],
    "FOO=1 bash -lc 'docker compose -f a.yml up -d | tee log'": [("docker compose up", (), ""), ("tee", ("log",), "")],
    'pwsh -Command "Get-ADUser -Identity kim | Select Name"': [("get-aduser", ("kim",), ""), ("select", ("Name",), "")],
    "ssh -p 2222 root@srv-01.example.com 'systemctl restart nginx'": [
        ("ssh", ("srv-01.example.com",), ""),
        ("systemctl restart", ("nginx",), "srv-01.example.com"),
    ],
    "Invoke-Command -ComputerName DC01 -ScriptBlock { Get-Service spooler }": [("get-service", ("spooler",), "dc01")],
    "cat <<'EOF' > /opt/x\nrm -rf /\nEOF\nls /opt": [("cat", (), ""), ("ls", ("/opt",), "")],
    "tar xf a.tar > out 2>&1; (cd x; make)": [("tar", ("xf", "a.tar"), ""), ("cd", ("x",), ""), ("make", (), "")],
    "for i in 1 2; do curl -s http://192.0.2.1/$i; done": [("curl", ("http://192.0.2.1/$i",), "")],
    r"C:\Windows\System32\net.exe use Z: \\nas-07\share": [("net use", ("Z:", r"\nas-07\share"), "")],
    "timeout 5 nohup kubectl -n prod get pods # list": [("kubectl get", ("pods",), "")],
    "": [],
    "# nothing": [],
}


@pytest.mark.parametrize("text", CALLS)
def test_a_command_line_is_taken_apart(text: str) -> None:
    assert [(call.head, call.arguments, call.host) for call in calls(text)] == CALLS[text]


@given(st.text(alphabet=st.sampled_from("ab -'\"\\|&;<>(){}$`#\n\r\t=/.ss sudo ssh bash -c é🛠️"), max_size=300))
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    for call in calls(text):
        assert call.head.startswith(call.program)
    failure = failure_of(text, text, 1)
    assert failure is None or len(failure.signature) <= MAX_SIGNATURE
    triggers_of([text, 7, None], text)
    assert not is_destructive(unpasteable(text)) or unpasteable(text) == UNSAID


FAILURES = [
    (
        "cat /etc/shadow",
        "cat: /etc/shadow: Permission denied",
        "cat /etc/shadow | permission | cat: <path>: permission denied",
    ),
    (
        "apt-get install foo",
        "E: Unable to locate package foo",
        "apt-get install foo | package-missing | e: unable to locate package foo",
    ),
    ("cd /x && jq-2 .", "bash: jq-2: command not found", "jq-2 | command-missing | bash: jq-#: command not found"),
    (
        "tar --zstd -xf a.tar",
        "tar: unrecognized option '--zstd'",
        "tar --zstd | option-unknown | tar: unrecognized option '--zstd'",
    ),
    (
        "ssh srv-02 uptime",
        "ssh: connect to host srv-02 port 22: Connection timed out",
        "ssh srv-02 | unreachable | ssh: connect to host srv-# port #: connection timed out",
    ),
    (
        "Get-VM -Foo kim",
        "Get-VM : A parameter cannot be found that matches parameter name 'Foo'.",
        "get-vm -foo | option-unknown | get-vm : a parameter cannot be found that matches parameter name 'foo'.",
    ),
]


@pytest.mark.parametrize(("command", "message", "signature"), FAILURES)
def test_a_failure_has_a_signature(command: str, message: str, signature: str) -> None:
    failure = failure_of(command, f"2026-03-01 something\n{message}\n\n", 1)
    assert failure is not None
    assert failure.signature == signature


NOTHING_TO_LEARN = [
    ("pytest -q tests", "FAILED tests/test_x.py::test_a - assert 1 == 2"),
    ("go test ./...", "--- FAIL: TestFetch\n    remote not found"),
    ("mise run lint", "cmd/setup.go:653:9: error returned from external package is unwrapped"),
    ("grep -rn needle src", ""),
    ("diff a b", "1c1\n< a\n---\n> b"),
    ("make build && ./run && curl -s http://192.0.2.1", "exit status 2"),
    ("git commit -m x", "nothing to commit, working tree clean"),
    ("", "Permission denied"),
]


@pytest.mark.parametrize(("command", "message"), NOTHING_TO_LEARN)
def test_what_says_nothing_about_the_environment_is_not_learned(command: str, message: str) -> None:
    assert failure_of(command, message, 1) is None


def test_the_same_failure_reads_the_same_at_another_time_and_place() -> None:
    one = "2026-03-03T10:00:01.5Z [pid 4711] /srv/a/x.py:33 db-01.example.com id 3f2a9c81bb0 error 0x80070035 192.0.2.7"
    other = "2027-11-30 23:59:59 [pid 12] /opt/b.py:4 web.example.com id 99aa12cd0f error 0x80070035 198.51.100.9:80"
    assert normalised(one) == normalised(other)
    assert "0x80070035" in normalised(one)
    assert normalised("error 0x80070035") != normalised("error 0x80070043")


@given(st.text(max_size=400))
def test_normalising_is_bounded_and_does_not_depend_on_numbers(text: str) -> None:
    assert len(normalised(text)) <= 200
    line_of(text)
    assert normalised(f"attempt 17 {text}") == normalised(f"attempt 4 {text}")


def test_every_class_has_what_a_pattern_needs() -> None:
    assert len({rule.name for rule in CLASSES}) == len(CLASSES)
    assert all(rule.cause.endswith(".") and len(rule.name) <= 50 for rule in CLASSES)


DESTRUCTIVE = (
    "rm -rf /srv/x",
    "sudo rm -r x",
    "cd / && rm -fr *",
    "git push -f",
    "git push origin main --force-with-lease",
    "git reset --hard HEAD~1",
    "git clean -fdx",
    "DROP TABLE users;",
    "delete from users",
    "mkfs.ext4 /dev/sdb",
    "dd if=/dev/zero of=/dev/sda",
    "curl https://x.example.com/i.sh | sudo bash",
    "iwr https://x.example.com | iex",
    "Remove-Item -Recurse C:\\x",
    "format d: /q",
    "terraform destroy",
    "kubectl delete ns prod",
    "docker system prune -af",
    "sudo reboot",
    "shutdown -h now",
    "zpool destroy tank",
    "find . -name '*.log' -delete",
    "chmod -R 777 /",
    "crontab -r",
    "net user kim /delete",
    "reg delete HKLM\\x",
    "iptables -F",
    ":(){ :|:& };:",
)
HARMLESS = (
    "systemctl restart nginx",
    "git push origin main",
    "git reset HEAD file",
    "docker ps -a",
    "kubectl get pods",
    "apt-get install -y curl",
    "A reboot of the server has helped.",
    "The date format was wrong.",
    "ls -la /rm",
    "chmod 644 x",
    "SELECT * FROM users",
    "terraform plan",
    "Get-Item x",
    "the form was reset by hand",
    "curl https://x.example.com -o i.sh",
)


@pytest.mark.parametrize("text", DESTRUCTIVE)
def test_what_destroys_is_not_said(text: str) -> None:
    assert is_destructive(text)
    told = unpasteable(f"Look first.\n{text}\nThen sign in.")
    assert text not in told
    assert told.startswith("Look first.")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_does_no_harm_is_said(text: str) -> None:
    assert unpasteable(text) == text


def test_hosts_are_compared_by_short_and_full_names() -> None:
    assert same_host("srv-01", "srv-01.example.com")
    assert not same_host("srv-01.example.net", "srv-01.example.com")
    assert not same_host("192.0.2.1", "192")
    assert not same_host("", "")


# --- judging --------------------------------------------------------------------------------------------------------

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
signs = st.builds(
    Sign,
    kind=st.sampled_from(EvidenceKind),
    at=st.integers(0, 50).map(lambda hours: BEGIN + timedelta(hours=hours)),
    session=st.sampled_from("abc"),
    text=st.sampled_from(["x", "y", "z"]),
)


@given(st.lists(signs, max_size=12), st.randoms())
def test_evidence_comes_to_the_same_in_whatever_order(evidence: list[Sign], chance: object) -> None:
    judged = judge(evidence, "permission")
    shuffled = sorted(evidence, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert judge(shuffled, "permission") == judged
    failed = [sign for sign in evidence if sign.kind is EvidenceKind.failed]
    assert (judged is None) == (len(failed) < 2)
    if judged is not None:
        assert judged.count == len(failed)
        assert judged.first_seen <= judged.last_seen
        more = judge([*evidence, Sign(EvidenceKind.worked, BEGIN + timedelta(days=9), "d", "x")], "permission")
        assert more is not None
        order = [None, Confidence.suspected, Confidence.likely, Confidence.confirmed]
        assert order.index(more.confidence) == max(0, order.index(judged.confidence) - 1)


def test_what_nobody_understands_counts_in_another_sitting_only() -> None:
    same = [Sign(EvidenceKind.failed, BEGIN, "a", "x"), Sign(EvidenceKind.failed, BEGIN, "a", "x")]
    other = [*same, Sign(EvidenceKind.failed, BEGIN, "b", "x")]
    assert judge(same, "other") is None
    assert judge(other, "other") is not None


# --- usage ----------------------------------------------------------------------------------------------------------


def test_a_memory_was_used_when_its_own_words_come_up_again() -> None:
    common = [{"backup", "run", f"word{number}"} for number in range(200)]
    shares = rarities([*common, {"nas-07", "vault-share", "backup"}])
    item = {"nas-07", "vault-share", "backup", "run"}
    own = own_words(item, set(), shares, 201)
    assert set(own) == {"nas-07", "vault-share"}
    assert used(own, {"nas-07", "is", "mounted"})
    assert not used(own, {"backup", "run", "word7"})
    assert not used(own_words(item, {"nas-07", "vault-share"}, shares, 201), {"nas-07", "vault-share"})
    assert not used([], {"anything"})
    assert used(["alpha", "beta"], {"alpha", "beta"})
    assert not used(["alpha", "beta"], {"alpha"})
