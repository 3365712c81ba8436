"""scripts/setup decides rightly what to install and when; a stand-in interpreter records what it is asked to do."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands for python3 and, as .venv/bin/python, for the environment's: knows `-m venv`, `-m pip` and the questions
# that scripts/setup asks. PIP says how the next installation ends.
STAND_IN = """#!/bin/bash
here=$PWD
case "$*" in
  --version) echo 'Python 3.11.2' ;;
  -c*ensurepip*) exit "${NO_VENV_MODULE:-0}" ;;
  -c*print*) echo python3.11-venv ;;
  -c*) exit 0 ;;
  '-m venv .venv')
    echo venv >>"$here/asked"
    mkdir -p .venv/bin && touch .venv/pyvenv.cfg && cp "$STAND_IN" .venv/bin/python
    echo "#!$here/.venv/bin/python" >.venv/bin/pip ;;
  '-m pip --version') echo "pip $(cat .venv/pip-version 2>/dev/null || echo 23.0.1) from here" ;;
  '-m pip install'*'--upgrade pip=='*) echo "${*##*pip==}" >.venv/pip-version ;;
  '-m pip install'*)
    [[ "$*" == *'--group dev'* ]] && echo dev >>"$here/asked" || echo hub >>"$here/asked"
    case "${PIP:-good}" in
      good) touch .venv/bin/worklore && chmod +x .venv/bin/worklore ;;
      offline) echo 'WARNING: Retrying after NewConnectionError'; exit 1 ;;
      broken) echo 'ERROR: No space left on device'; exit 1 ;;
      killed) kill -KILL $PPID ;;
    esac ;;
  *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


class Checkout:
    """A copy of what `make setup` needs, with the stand-in as its interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        self.interpreter = folder.parent / "python-stand-in"
        self.interpreter.write_text(STAND_IN)
        self.interpreter.chmod(0o755)

    def setup(self, level: str = "hub", **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"PATH": os.environ["PATH"], "PYTHON": str(self.interpreter), "STAND_IN": str(self.interpreter)}
        return subprocess.run(
            ["scripts/setup", level],
            cwd=self.folder,
            env=known | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def add_requirement_line(self, name: str = "constraints.txt") -> None:
        with (self.folder / name).open("a") as file:
            file.write("# another line\n")

    def asked(self) -> list[str]:
        """What the interpreter was asked for since the last call."""
        record = self.folder / "asked"
        lines = record.read_text().split() if record.exists() else []
        record.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


def test_installs_once(checkout: Checkout) -> None:
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["venv", "hub"]
    again = checkout.setup()
    assert (again.returncode, again.stdout, again.stderr, checkout.asked()) == (0, "", "", [])


def test_the_tools_come_on_top_and_satisfy_the_hub_as_well(checkout: Checkout) -> None:
    checkout.setup("hub")
    checkout.setup("dev")
    assert checkout.asked() == ["venv", "hub", "dev"]
    checkout.setup("hub")
    checkout.setup("dev")
    assert checkout.asked() == []


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_environment(checkout: Checkout, changed: str) -> None:
    checkout.setup()
    checkout.asked()
    checkout.add_requirement_line(changed)
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["hub"]


def test_an_interrupted_installation_starts_over(checkout: Checkout) -> None:
    assert checkout.setup(PIP="killed").returncode == -signal.SIGKILL
    checkout.asked()
    repaired = checkout.setup()
    assert repaired.returncode == 0
    assert "making it again" in repaired.stdout
    assert checkout.asked() == ["venv", "hub"]


def test_a_moved_checkout_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.setup()
    checkout.asked()
    moved = checkout.folder.with_name("moved")
    checkout.folder.rename(moved)
    checkout.folder = moved
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["venv", "hub"]


def test_no_network_is_one_line_and_breaks_nothing(checkout: Checkout) -> None:
    checkout.setup()
    checkout.add_requirement_line()
    checkout.asked()
    offline = checkout.setup(PIP="offline")
    assert offline.returncode == 1
    assert offline.stderr.count("\n") == 1
    assert "does not answer" in offline.stderr
    assert (checkout.folder / ".venv/bin/worklore").exists()
    checkout.asked()
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["hub"]


def test_any_other_failure_of_pip_is_shown_in_its_own_words(checkout: Checkout) -> None:
    failed = checkout.setup(PIP="broken")
    assert failed.returncode == 1
    assert "No space left on device" in failed.stderr
    assert checkout.setup().returncode == 0


def test_a_missing_interpreter_is_one_line(checkout: Checkout) -> None:
    failed = checkout.setup(PYTHON="python-that-is-not-there")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "python-that-is-not-there" in failed.stderr
    assert not (checkout.folder / ".venv").exists()


def test_an_old_interpreter_is_one_line(checkout: Checkout, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    failed = checkout.setup(PYTHON=str(old))
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "Python 3.9.2 is too old" in failed.stderr


def test_without_the_venv_module_says_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    # A PATH without apt-get stands for a system that is not Debian, or a user who may not install.
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "cat", "cksum", "tr", "sed", "dirname", "readlink", "id", "env"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    failed = checkout.setup(NO_VENV_MODULE="1", PATH=str(tools))
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "apt-get install python3.11-venv" in failed.stderr


@pytest.mark.parametrize("arguments", [["-C", "{}"], ["-f", "{}/Makefile"]])
def test_make_works_from_any_folder(checkout: Checkout, tmp_path: Path, arguments: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "STAND_IN": str(checkout.interpreter)}
    command = ["make", *(part.format(checkout.folder) for part in arguments), f"PYTHON={checkout.interpreter}", "setup"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert checkout.asked() == ["venv", "hub"]


@pytest.mark.parametrize("script", ["scripts/setup", "scripts/lock", ".ci/run"])
def test_scripts_parse_and_may_be_run(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
    assert os.access(ROOT / script, os.X_OK)
