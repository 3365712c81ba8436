"""What is shipped works without a checkout: built, installed into a clean environment, started and asked.

The clean environment holds the wheel and, copied from the environment of the tests, exactly the distributions that
its metadata asks for, so that a dependency missing from the metadata shows. No network is needed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import urllib.request
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("hub", "postgres", "mariadb")
START_SECONDS = 45


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--sdist",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def wheel_metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def needed(requirements: list[str], extras: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    """The installed distributions that satisfy requirements with these extras, and theirs, by canonical name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), extras) for text in requirements]
    while waiting:
        requirement, wanted = waiting.pop()
        environments = [{"extra": extra} for extra in (*wanted, "")]
        if requirement.marker and not any(requirement.marker.evaluate(one) for one in environments):
            continue
        name = canonicalize_name(requirement.name)
        key = (name, ",".join(sorted(requirement.extras)))
        if key in seen:
            continue
        seen.add(key)
        distribution = metadata.distribution(name)
        assert requirement.specifier.contains(distribution.version, prereleases=True), requirement
        found[name] = distribution
        waiting += [(Requirement(text), tuple(requirement.extras)) for text in distribution.requires or ()]
    return found


def copy_distribution(distribution: metadata.Distribution, target: Path) -> None:
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        if ".." in file.parts or file.suffix == ".pyc":  # scripts in bin, and what Python makes again by itself
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of commands of an environment with the wheel and its dependencies alone."""
    folder = tmp_path_factory.mktemp("clean") / "environment"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    for distribution in needed(wheel_metadata(wheel).get_all("Requires-Dist") or [], EXTRAS).values():
        copy_distribution(distribution, packages)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    install = ["install", "--no-index", "--no-deps", "--quiet", str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    subprocess.run([*pip, "check"], check=True, capture_output=True)
    return folder / "bin"


def environment(home: Path) -> dict[str, str]:
    """No setting of this machine, and a home folder of its own."""
    return {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_wheel_holds_four_packages_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"worklore", "worklore_client", "worklore_cli", "worklore_redact"}
    assert {f"{top}/py.typed" for top in tops} <= set(names)
    assert "worklore_client/hook.py" in names
    assert any(name.startswith("worklore/migrations/versions/") for name in names)
    page = {"reference.html", "reference.js", "swagger-ui/LICENSE", "swagger-ui/NOTICE", "swagger-ui/ORIGIN.txt"}
    page |= {
        f"swagger-ui/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt")
    }
    assert {f"worklore/surfaces/static/{name}" for name in page} <= set(names)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    about = wheel_metadata(wheel)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (about["Name"], about["Version"]) == ("worklore", project["version"])
    assert (about["License-Expression"], about["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert set(EXTRAS) <= set(about.get_all("Provides-Extra") or [])


def test_the_source_archive_can_build_test_and_run(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2]: member for name, member in zip(content.getnames(), content, strict=True)}
    for needed_file in (
        "Makefile",
        "constraints.txt",
        "scripts/setup",
        ".ci/run",
        "deploy/worklore.service",
        "LICENSE",
    ):
        assert needed_file in names, needed_file
    assert names["scripts/setup"].mode & 0o111
    assert not any(name.startswith((".venv", ".git/")) for name in names)


def test_every_requirement_is_pinned_within_its_range() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    )
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*about["project"]["dependencies"], *about["build-system"]["requires"], "pip>=25.3"]
    for group in (*about["project"]["optional-dependencies"].values(), *about["dependency-groups"].values()):
        wanted += group
    for text in wanted:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt: make constraints"
        assert requirement.specifier.contains(version), f"{requirement} does not allow the pinned {version}"


def test_the_command_explains_itself_from_any_folder(clean: Path, tmp_path: Path) -> None:
    command = [str(clean / "worklore"), "--help"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), check=True, capture_output=True, text=True)
    assert "connect" in shown.stdout
    assert "serve" in shown.stdout


def test_a_hub_starts_answers_and_stops(clean: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    log = tmp_path / "hub.log"
    command = [str(clean / "worklore"), "serve", "--port", "0", "--ready-file", str(ready)]
    command += ["--database-url", f"sqlite:///{tmp_path / 'worklore.db'}"]
    with log.open("w") as output:
        hub = subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (ready.exists() and ready.read_text().rstrip().endswith("}")):
            assert hub.poll() is None, f"the hub ended by itself:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"the hub was not ready in time:\n{log.read_text()}"
            time.sleep(0.05)
        started = json.loads(ready.read_text())
        with urllib.request.urlopen(started["url"] + "/healthz", timeout=10) as answer:  # noqa: S310 - our own hub
            assert answer.status == 200
            assert json.load(answer)["status"] == "ok"
        assert started["setup_code"]
        hub.send_signal(signal.SIGTERM)
        assert hub.wait(timeout=20) == 0, log.read_text()
    finally:
        hub.kill()
        hub.wait()
    # A hub that was asked to stop has written everything into the one file that people back up and move.
    assert (tmp_path / "worklore.db").stat().st_size > 0
    assert not (tmp_path / "worklore.db-wal").exists()
