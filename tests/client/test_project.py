"""Which project a folder belongs to."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklore_client import identity as identity_module
from worklore_client.identity import identity, root_commit
from worklore_client.project import find_project, remote_url, without_credentials

REMOTE = "https://git.example.com/msp/network.git"


def git(folder: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_GLOBAL": "/dev/null", **names}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "network"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "upstream", "https://git.example.com/other.git")
    git(folder, "remote", "add", "origin", REMOTE)
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "commit", "-q", "--allow-empty", "-m", "second")
    return folder


def test_subfolder_worktree_and_submodule_lead_to_the_same_remote(repository: Path, tmp_path: Path) -> None:
    (repository / "a" / "b").mkdir(parents=True)
    assert find_project(str(repository / "a" / "b")) == (str(repository), REMOTE, "")
    tree = tmp_path / "elsewhere" / "hotfix"
    git(repository, "worktree", "add", "-q", str(tree))
    assert find_project(str(tree)) == (str(tree), REMOTE, "")
    assert root_commit(str(tree), tmp_path / "c1") == root_commit(str(repository), tmp_path / "c2") is not None
    module = repository / "vendor" / "lib"
    module.mkdir(parents=True)
    (module / ".git").write_text("gitdir: ../../.git/modules/lib\n")
    inner = repository / ".git" / "modules" / "lib"
    inner.mkdir(parents=True)
    (inner / "config").write_text('[remote "origin"]\nurl=git@git.example.com:msp/lib.git\n')
    assert find_project(str(module)) == (str(module), "git@git.example.com:msp/lib.git", "")


def test_marker_and_plain_folders(tmp_path: Path) -> None:
    inner = tmp_path / "client" / "docs"
    inner.mkdir(parents=True)
    assert find_project(str(inner)) == (str(inner), "", "")
    (tmp_path / "client" / ".worklore").mkdir()
    (tmp_path / "client" / ".worklore" / "project").write_text("  acme  \nsecond line\n")
    assert find_project(str(inner)) == (str(tmp_path / "client"), "", "acme")
    assert find_project(str(tmp_path / "gone" / "folder"))[1:] == ("", "")
    assert find_project("/") == ("/", "", "")
    assert find_project(f"{inner}/") == find_project(str(inner))


def test_the_identity_object(repository: Path, tmp_path: Path) -> None:
    cache = tmp_path / "roots.json"
    first = git(repository, "rev-list", "--max-parents=0", "HEAD")
    expected = {"remote": REMOTE, "root_commit": first, "marker": None, "path": str(repository), "name": "network"}
    assert identity(str(repository), cache) == expected
    assert cache.stat().st_mode & 0o777 == 0o600
    clone = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    assert identity(str(clone), cache)["root_commit"] is None
    plain = {"remote": None, "root_commit": None, "marker": None, "path": str(tmp_path), "name": tmp_path.name}
    assert identity(str(tmp_path), cache) == plain


def test_a_history_too_long_to_walk_is_not_walked_again_at_once(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "roots.json"
    monkeypatch.setattr(identity_module, "GIT_SECONDS", 0.0)
    assert root_commit(str(repository), cache) is None
    monkeypatch.setattr(identity_module, "GIT_SECONDS", 5.0)
    assert root_commit(str(repository), cache) is None
    cache.unlink()
    assert root_commit(str(repository), cache)


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://kim:s3cret@git.example.com/a.git", "https://git.example.com/a.git"),
        ("https://s3cret@git.example.com:8443/a.git", "https://git.example.com:8443/a.git"),
        ("https://kim:p@s3cret@git.example.com/a.git", "https://git.example.com/a.git"),
        ("https://kim:s3/cret@git.example.com/a.git", "https://git.example.com/a.git"),
        ("https://git.example.com/a.git?token=s3cret#s3cret", "https://git.example.com/a.git"),
        ("ssh://git:s3cret@git.example.com:22/a.git", "ssh://git.example.com:22/a.git"),
        ("git@git.example.com:a.git", "git@git.example.com:a.git"),
        ("kim:s3cret@git.example.com:a.git", "git.example.com:a.git"),
        ("https://git.example.com/@scope/a.git", "https://git.example.com/@scope/a.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
        ("", ""),
    ],
)
def test_credentials_stay_here(remote: str, expected: str) -> None:
    assert without_credentials(remote) == expected


@settings(deadline=None)
@given(
    st.sampled_from(["https", "http", "ssh", "git"]),
    st.text(alphabet="abc%:@/?#-_.", max_size=8),
    st.text(alphabet="abc%:@-_.", max_size=4),
)
def test_no_password_survives(scheme: str, before: str, after: str) -> None:
    remote = f"{scheme}://kim:{before}S3CRET{after}@git.example.com/msp/a.git"
    assert "S3CRET" not in without_credentials(remote)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('[core]\n\tbare = false\n[remote "origin"]\n\tfetch = x\n\tURL = "ssh://h/a"\n', "ssh://h/a"),
        ('[remote "b"]\nurl = second\n[REMOTE "origin"]\nurl = first\nurl = push\n', "first"),
        ('[remote "b"]\nurl = only\n[branch "main"]\nurl = no\n', "only"),
        ('# [remote "origin"]\n; url = x\n[core]\nurl = y\n', ""),
        ("", ""),
        ("[\n]=\n[remote]\nurl\n", ""),
    ],
)
def test_the_remote_in_gits_configuration(config: str, expected: str) -> None:
    assert remote_url(config) == expected
