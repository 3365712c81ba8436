"""Which project a folder belongs to, from real repositories to a real hub."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import TestHub, unique
from worklore.identity.token import TokenKind
from worklore_client.identity import identity

from .test_project import git


class Desk:
    """A machine, with a folder to work in."""

    def __init__(self, hub: TestHub, path: Path) -> None:
        self.path = path
        self.api: httpx2.Client = hub.client(hub.token(kind=TokenKind.machine))
        self.path.mkdir()

    def project(self, folder: Path) -> str:
        """The project of a folder; made where nobody knows it."""
        about = identity(str(folder), self.path / "roots.json")
        answer = self.api.post("/projects/identify", json=about)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def repository(self, name: str, remote: str = "") -> Path:
        folder = self.path / name
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")
        if remote:
            git(folder, "remote", "add", "origin", remote)
        git(folder, "commit", "-q", "--allow-empty", "-m", unique("first"))
        return folder


@pytest.fixture
def desk(sqlite_hub: TestHub, tmp_path: Path) -> Desk:
    return Desk(sqlite_hub, tmp_path / "desk")


@pytest.fixture
def elsewhere(sqlite_hub: TestHub, tmp_path: Path) -> Desk:
    return Desk(sqlite_hub, tmp_path / "another desk")


def remote(name: str = "") -> str:
    return f"https://git.example.com/msp/{name or unique('app')}.git"


def test_worktrees_subfolders_and_clones_are_one_project(desk: Desk, elsewhere: Desk) -> None:
    url = remote()
    main = desk.repository("app", url)
    known = desk.project(main)
    (main / "docs" / "more").mkdir(parents=True)
    git(main, "worktree", "add", "-q", str(desk.path / "trees" / "hotfix"))
    bare = desk.path / "bare.git"
    git(desk.path, "clone", "-q", "--bare", str(main), str(bare))
    git(bare, "remote", "set-url", "origin", url)
    git(bare, "worktree", "add", "-q", "-b", "other", str(desk.path / "of bare"))
    apart = desk.path / "apart"
    git(desk.path, "clone", "-q", f"--separate-git-dir={desk.path / 'apart.git'}", str(main), str(apart))
    git(apart, "remote", "set-url", "origin", url)
    for folder in (main / "docs" / "more", desk.path / "trees" / "hotfix", desk.path / "of bare", apart):
        assert desk.project(folder) == known, folder
    clone = elsewhere.path / "its own name"
    git(elsewhere.path, "clone", "-q", str(main), str(clone))
    for spelling in (url.removesuffix(".git"), url.replace("https://", "https://kim:pw@"), _scp(url)):
        git(clone, "remote", "set-url", "origin", spelling)
        assert elsewhere.project(clone) == known, spelling


def _scp(url: str) -> str:
    return url.replace("https://git.example.com/", "git@git.example.com:")


def test_renamed_and_moved_folders_stay_the_same_project(desk: Desk) -> None:
    for url in (remote(), ""):
        folder = desk.repository(unique("app"), url)
        known = desk.project(folder)
        moved = desk.path / "archive" / unique("café 'x'")
        moved.parent.mkdir(exist_ok=True)
        folder.rename(moved)
        assert desk.project(moved) == known


def test_a_repository_without_a_remote_is_known_by_its_first_commit_everywhere(desk: Desk, elsewhere: Desk) -> None:
    folder = desk.repository("app")
    known = desk.project(folder)
    clone = elsewhere.path / "app"
    git(elsewhere.path, "clone", "-q", str(folder), str(clone))
    git(clone, "remote", "remove", "origin")
    assert elsewhere.project(clone) == known
    url = remote()
    git(folder, "remote", "add", "origin", url)  # it gets one later
    assert desk.project(folder) == known
    git(clone, "remote", "add", "origin", url)
    assert elsewhere.project(clone) == known


def test_a_fork_is_a_project_of_its_own_and_a_moved_remote_is_not(desk: Desk, elsewhere: Desk) -> None:
    folder = desk.repository("template", remote())
    known = desk.project(folder)
    fork = elsewhere.path / "customer"
    git(elsewhere.path, "clone", "-q", str(folder), str(fork))
    git(fork, "remote", "rename", "origin", "upstream")
    git(fork, "remote", "add", "origin", remote())
    forked = elsewhere.project(fork)
    assert forked != known
    assert elsewhere.project(fork) == forked
    assert desk.project(folder) == known
    git(folder, "remote", "set-url", "origin", remote())  # moved to another host, the folder stays
    assert desk.project(folder) == known
    again = desk.path / "cloned anew"
    git(desk.path, "clone", "-q", str(folder), str(again))
    git(again, "remote", "set-url", "origin", git(folder, "remote", "get-url", "origin"))
    assert desk.project(again) == known


def test_a_submodule_is_a_project_of_its_own(desk: Desk) -> None:
    library = desk.repository("lib", remote())
    application = desk.repository("app", remote())
    git(application, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "vendor/lib")
    module = application / "vendor" / "lib"
    git(module, "remote", "set-url", "origin", git(library, "remote", "get-url", "origin"))
    (module / "src").mkdir()
    assert desk.project(module / "src") == desk.project(library)
    assert desk.project(application) != desk.project(library)


def test_without_git_a_folder_is_known_on_one_machine_and_by_its_marker_on_all(desk: Desk, elsewhere: Desk) -> None:
    name = unique("acme")
    for each in (desk, elsewhere):
        (each.path / "notes" / "deep").mkdir(parents=True)
    assert desk.project(desk.path / "notes") == desk.project(desk.path / "notes")
    assert desk.project(desk.path / "notes") != elsewhere.project(elsewhere.path / "notes")
    for each in (desk, elsewhere):
        marked = each.path / "marked" / "deep"
        marked.mkdir(parents=True)
        (marked.parent / ".worklore").mkdir()
        (marked.parent / ".worklore" / "project").write_text(f"{name}\n")
    known = desk.project(desk.path / "marked" / "deep")
    assert elsewhere.project(elsewhere.path / "marked") == known
    (desk.path / "marked").rename(desk.path / "renamed")
    assert desk.project(desk.path / "renamed") == known


def test_a_committed_marker_joins_repositories_that_say_so(desk: Desk) -> None:
    name, found = unique("acme"), set()
    for _ in range(2):
        folder = desk.repository(unique("app"), remote())
        (folder / ".worklore").mkdir()
        (folder / ".worklore" / "project").write_text(name)
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", "marker")
        found.add(desk.project(folder))
    assert len(found) == 1


def test_odd_repositories_are_folders_like_any_other(desk: Desk) -> None:
    torn: list[Any] = ["gitdir: /nowhere/at/all\n", "rubbish", "gitdir:"]
    for number, pointer in enumerate(torn):
        folder = desk.path / f"torn{number}"
        folder.mkdir()
        (folder / ".git").write_text(pointer)
        assert desk.project(folder) == desk.project(folder)
    empty = desk.path / "empty"
    empty.mkdir()
    git(empty, "init", "-q", "-b", "main")
    assert desk.project(empty) == desk.project(empty)
    assert len({desk.project(desk.path / name) for name in ("torn0", "torn1", "torn2", "empty")}) == 4
