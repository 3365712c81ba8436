"""The rules of the trail: what a command line runs and reaches, what failed, what was decided, what it cost."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore.kernel.errors import UnavailableError
from worklore.memory.trail import failures
from worklore.memory.trail.decisions import decisions, left_to_do
from worklore.memory.trail.deployments import shipments
from worklore.memory.trail.prices import KNOWN, Tokens, cost, load, price_of
from worklore.memory.trail.rows import understood
from worklore.memory.trail.shell import Invocation, invocations
from worklore.memory.trail.step import bounded, lines_of, size_of


def programs(text: str) -> list[str]:
    return [found.program for found in invocations(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ls -la", ["ls"]),
        ("cd /srv && make test; echo done | tee log", ["cd", "make", "echo", "tee"]),
        ("FOO=1 BAR='a b' python -m pytest", ["python"]),
        ("sudo -u postgres psql -c 'select 1; drop table x'", ["psql"]),
        ("timeout -k 5 30s curl https://example.com", ["curl"]),
        ("bash -lc 'git status && git push'", ["bash", "git", "git"]),
        ("if true; then systemctl restart nginx; fi", ["true", "systemctl", "fi"]),
        ("cat <<'EOF' > f\nrm -rf /\nEOF\nls", ["cat", "ls"]),
        ("echo 'a # b' # rm x\nls", ["echo", "ls"]),
        ('echo "$(rm -rf / )" x', ["echo"]),
        ("/usr/bin/git.exe log > out 2>&1", ["git"]),
        ("ssh web 'sudo systemctl restart nginx'", ["ssh", "systemctl"]),
        ("", []),
        ("&&;|", []),
    ],
)
def test_the_programs_of_a_line(text: str, expected: list[str]) -> None:
    assert programs(text) == expected


def test_what_runs_behind_ssh_runs_there() -> None:
    found = invocations("ssh -p 2222 -i key admin@Web-01.example.com 'cd /srv; ssh db-01 uptime'")
    assert [(each.program, each.host) for each in found] == [
        ("ssh", ""),
        ("cd", "web-01.example.com"),
        ("ssh", "web-01.example.com"),
        ("uptime", "db-01"),
    ]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("ssh root@192.0.2.7 uptime", ["192.0.2.7"]),
        ("scp -P 22 a.txt admin@fw-01:/tmp/", ["fw-01"]),
        ("rsync -a ./ web-01.example.com:/srv/", ["web-01.example.com"]),
        ("scp C:\\a\\b.txt host-2:", ["host-2"]),
        ("psql -h db-01 -U app", ["db-01"]),
        ("psql --host=db-02 app", ["db-02"]),
        ("psql postgresql://app@db-03.example.com:5432/app", ["db-03.example.com"]),
        ("mysql -hdb-04 -e 'select 1'", ["db-04"]),
        ("curl -s https://user@api.example.com:8443/v1?x=1", ["api.example.com"]),
        ("ping -c 3 198.51.100.9", ["198.51.100.9"]),
        ("Invoke-Command -ComputerName srv-05 -ScriptBlock {Get-Service}", ["srv-05"]),
        ("dir \\\\nas-01\\share\\x", ["nas-01"]),
        ("curl http://localhost:8080", []),
        ("git commit -m 'a: b'", []),
        ("ls host:path", []),
    ],
)
def test_the_hosts_a_command_talks_to(text: str, hosts: list[str]) -> None:
    assert understood(text).hosts == hosts


@pytest.mark.parametrize(
    ("text", "kind", "target", "version"),
    [
        ("git push origin main", "git_push", "origin main", ""),
        ("git push origin v1.4.2", "git_push", "origin v1.4.2", "v1.4.2"),
        ("docker compose -f prod.yml up -d", "container", "", ""),
        ("docker push registry.example.com/app:2.1.0", "container_image", "registry.example.com/app:2.1.0", "2.1.0"),
        ("kubectl -n shop apply -f k8s/", "kubernetes", "shop", ""),
        ("helm upgrade shop ./chart --version 3.2.1", "kubernetes", "shop", "3.2.1"),
        ("terraform apply -auto-approve", "infrastructure_as_code", "", ""),
        ("ansible-playbook -i inventory -l web-01 site.yml", "configuration", "web-01", ""),
        ("sudo systemctl restart nginx", "service_restart", "nginx", ""),
        ("service nginx restart", "service_restart", "nginx", ""),
        ("npm publish --access public", "package", "public", ""),
        ("twine upload dist/*", "package", "dist/*", ""),
        ("scp build.tar.gz deploy@web-01:/srv/", "file_copy", "deploy@web-01:/srv/", ""),
        ("rsync -az ./ web-02.example.com:/srv/", "file_copy", "web-02.example.com:/srv/", ""),
        ("gh release create v2.0.0", "release", "v2.0.0", "v2.0.0"),
        ("ssh web-03 'sudo systemctl restart portal'", "service_restart", "portal", ""),
    ],
)
def test_what_puts_software_somewhere(text: str, kind: str, target: str, version: str) -> None:
    (found,) = shipments(invocations(text))
    assert (found.kind, found.version) == (kind, version)
    assert not target or found.target == target


@pytest.mark.parametrize(
    "text",
    [
        "git push --dry-run origin main",
        "git status",
        "git stash push",
        "docker compose ps",
        "docker run --rm alpine ls",
        "kubectl get pods",
        "kubectl apply --dry-run=client -f x.yml",
        "terraform plan",
        "systemctl status nginx",
        "service nginx status",
        "rsync -an ./ web-02:/srv/",
        "scp web-02:/srv/log .",
        "npm install",
        "echo git push",
        "ansible-playbook --check site.yml",
    ],
)
def test_what_puts_nothing_anywhere(text: str) -> None:
    assert shipments(invocations(text)) == []


@given(st.text(max_size=400) | st.text(alphabet="ab '\"\\$(){};&|<>\n#-@:/=E", max_size=400))
def test_any_text_can_be_a_command_line(text: str) -> None:
    found = understood(text)
    shipments(found.found)
    assert all(isinstance(each, Invocation) and each.program == each.program.lower() for each in found.found)
    assert all(host == host.strip() and " " not in host for host in found.hosts)


def test_a_hostile_line_takes_no_longer_than_its_length() -> None:
    for text in ("$(" * 4000, "'" * 8001, "<<E\n" * 2000, "\\" * 8000, "bash -c " * 1000, "ssh a " * 1300, "a:" * 4000):
        understood(text)


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [
        ("bash: swanctl: command not found", 127, "command_not_found"),
        ("mkdir: cannot create directory: Permission denied", 1, "permission_denied"),
        ("admin@fw: Permission denied (publickey).", 255, "authentication"),
        ("curl: (6) Could not resolve host: x.example.com", 6, "name_resolution"),
        ("connect ECONNREFUSED 127.0.0.1:5432", 1, "connection_refused"),
        ("Command timed out after 2m 0.0s", None, "timeout"),
        ("write: No space left on device", 1, "disk_full"),
        ("E   AssertionError\nFAILED tests/test_a.py::test_b", 1, "test_failure"),
        ("ModuleNotFoundError: No module named 'x'", 1, "dependency"),
        ("error TS2304: Cannot find name 'x'.", 2, "type_check"),
        ("cat: x: No such file or directory", 1, "not_found"),
        ("CONFLICT (content): Merge conflict in a.py", 1, "merge_conflict"),
        ("", 137, "out_of_memory"),
        ("", 1, "other"),
        ("", None, "other"),
    ],
)
def test_sorts_of_failure(output: str, code: int | None, expected: str) -> None:
    assert failures.category(output, code) == expected


@pytest.mark.parametrize(
    ("text", "rationale", "alternatives"),
    [
        ("We decided to keep the old firewall until March.", "", ()),
        (
            "Let's use PostgreSQL instead of MySQL because the reports need windows.",
            "the reports need windows",
            ("MySQL",),
        ),
        ("We chose WireGuard over OpenVPN, since it is in the kernel.", "it is in the kernel", ("OpenVPN",)),
        ("**Decision:** backups go to the second site.", "", ()),
        ("I've decided against a nightly restart.", "", ()),
    ],
)
def test_what_is_decided(text: str, rationale: str, alternatives: tuple[str, ...]) -> None:
    (found,) = decisions(f"First I looked around. {text}\nThen I went on.")
    assert (found.rationale, found.alternatives) == (rationale, alternatives)
    assert found.text.strip(" .") in text.replace("*", "")


@pytest.mark.parametrize(
    "text",
    [
        "Have we decided to use Redis?",
        "If we decided to use Redis, we would need a second host.",
        "We haven't decided on a name yet.",
        "Should we use Redis instead of a table?",
        "You could use Redis rather than a table, because it is fast.",
        "> We decided to use Redis.",
        "```\nWe decided to use Redis.\n```",
        "Let's use the table.",
        "The user decided.",
        "I will use the Read tool.",
        "Let me use grep to look over the code.",
    ],
)
def test_what_decides_nothing(text: str) -> None:
    assert decisions(text) == []


def test_what_is_left_to_do() -> None:
    text = (
        "All done but this.\n\n## Next steps\n\n1. Renew the **certificate**\n2. [x] Tell the client\n"
        "3. [ ] Watch `queue-7`."
        "\n   with a longer line\n\nThat is all.\n- no step\n\nTODO: move the printers\n```\n# TODO: not this\n```"
    )
    assert left_to_do(text) == ["move the printers", "Renew the certificate", "Watch queue-7"]
    assert left_to_do("What is left is little.\n- one\n- two") == []
    assert left_to_do("I read the next steps:\nnothing there") == []


@given(st.text(max_size=2000))
def test_any_text_can_be_said(text: str) -> None:
    assert all(found.text for found in decisions(text))
    assert all(item.strip() for item in left_to_do(text))
    failures.category(text)
    failures.declined(text)


def test_prose_of_any_length_is_read_in_time() -> None:
    for text in (
        "we decided " * 9000,
        "over " * 9000,
        "- todo: " * 9000,
        "```" * 20_000,
        "**Next steps" * 5000,
        ". " * 40_000,
    ):
        decisions(text)
        left_to_do(text)


@given(st.text(max_size=300), st.integers(10, 100))
def test_texts_are_bounded_and_counted(text: str, limit: int) -> None:
    assert len(bounded(text, limit)) <= limit + 60
    assert size_of(text) >= 0
    assert lines_of("one\ntwo\n") == 2
    assert size_of(f"{'a' * 10}\n[90 characters left out]\n{'b' * 10}") == 110


def test_costs_are_told_of_known_models_alone() -> None:
    tokens = Tokens(
        input=1_000_000, output=100_000, cache_read=2_000_000, cache_write=400_000, cache_write_long=100_000
    )
    price = price_of("claude-sonnet-4-5-20250929", KNOWN)
    assert price is not None
    assert cost(tokens, price) == Decimal(3) + Decimal("1.5") + Decimal("0.6") + Decimal("1.125") + Decimal("0.6")
    assert price_of("claude-opus-4-5-20251101", KNOWN) != price_of("claude-opus-4-20250514", KNOWN)
    assert price_of("gpt-5.1-codex", KNOWN) == price_of("gpt-5.1", KNOWN) != price_of("gpt-5", KNOWN)
    assert price_of("a-model-of-tomorrow", KNOWN) is None


def test_an_operator_gives_prices_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(
        '[{"model": "claude-sonnet-4", "input": 2, "output": "9.5", "currency": "EUR", "true_on": "2026-01-01"}]'
    )
    price = price_of("claude-sonnet-4-5", load(path))
    assert price is not None
    assert (price.output, price.currency, price.true_on) == (Decimal("9.5"), "EUR", date(2026, 1, 1))
    assert price_of("claude-opus-4-1", load(path)) is not None
    for wrong in ("", "{}", '[{"model": "x"}]', '[{"model": "x", "input": -1, "output": 1, "true_on": "2026-01-01"}]'):
        path.write_text(wrong)
        with pytest.raises(UnavailableError, match="file of prices"):
            load(path)
    with pytest.raises(UnavailableError, match="cannot be read"):
        load(tmp_path / "none.json")
