"""Our entries in the settings of each agent: in, out, and nothing else touched."""

import json
import os
import shlex
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklore_client import agent_settings, hook_entries, json_text
from worklore_client.adapters import ADAPTERS, BY_NAME, CLAUDE_CODE, Adapter, Layout, WindowsShell
from worklore_client.agent_settings import (
    SettingsRefused,
    apply_connect,
    apply_disconnect,
    as_wanted,
    backup_path,
    connected_adapters,
    installed,
    plan_connect,
    plan_disconnect,
)
from worklore_client.hook_entries import entries, with_entries, without_entries

EDITED = [adapter for adapter in ADAPTERS if not adapter.own_file]
OWN = [adapter for adapter in ADAPTERS if adapter.own_file]
each_agent = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
each_edited = pytest.mark.parametrize("adapter", EDITED, ids=lambda adapter: adapter.name)
each_own = pytest.mark.parametrize("adapter", OWN, ids=lambda adapter: adapter.name)
HOME = Path("/home/kim/.worklore")

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3))
handlers = st.fixed_dictionaries({"type": st.just("command"), "command": st.text(max_size=8)})
groups = st.fixed_dictionaries({"hooks": st.lists(handlers, max_size=2)}, optional={"matcher": st.text(max_size=4)})
layouts = st.sampled_from([None, 2, 4, "\t"])
newlines = st.sampled_from(["\n", "\r\n"])
comments = st.sampled_from(["", "// kept, with a comma\n", "/* kept, { [ */"])


@st.composite
def documents(draw: st.DrawFn, adapter: Adapter) -> str:
    """A settings file of the agent, with hooks of other tools, laid out in some way."""
    listed = groups if adapter.layout is Layout.groups else handlers
    events = st.sampled_from([*entries(adapter, HOME), "Notification"])
    hooks = st.fixed_dictionaries({}, optional={"hooks": st.dictionaries(events, st.lists(listed, max_size=2))})
    versions = st.fixed_dictionaries({}, optional={"version": st.just(1)})
    others = st.dictionaries(st.text(max_size=6).filter(lambda key: key not in ("hooks", "version")), values)
    document = draw(others) | draw(versions if adapter.layout is Layout.flat else st.just({})) | draw(hooks)
    layout = draw(layouts)
    text = json.dumps(document, ensure_ascii=False, indent=layout)
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(document, indent=layout)
    if adapter.comments:
        remark = draw(comments)
        text = text.replace("{", "{" + remark, 1)
        text = draw(comments) + text
    return text.replace("\n", draw(newlines))


def parsed(text: str, adapter: Adapter) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json_text.plain(text) if adapter.comments else text)
    return document


@each_edited
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_what_goes_in_comes_out_byte_for_byte(adapter: Adapter, data: st.DataObject) -> None:
    text = data.draw(documents(adapter))
    wanted = entries(adapter, HOME)
    changed, created = with_entries(text, adapter, wanted)
    before, after = parsed(text, adapter), parsed(changed, adapter)
    for event, listed in wanted.items():
        theirs = before.get("hooks", {}).get(event, [])
        assert after["hooks"][event] == [*theirs, *listed]
    assert {key: value for key, value in after.items() if key not in ("hooks", "version")} == {
        key: value for key, value in before.items() if key not in ("hooks", "version")
    }
    assert without_entries(changed, adapter, created) == text


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder without any agent; what connecting remembers lies in ``worklore``."""
    for adapter in ADAPTERS:
        if adapter.variable:
            monkeypatch.delenv(adapter.variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "worklore").mkdir()
    return tmp_path


def placed(adapter: Adapter, content: bytes | None) -> Path:
    path = adapter.settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    return path


def there_and_back(adapter: Adapter, home: Path, content: bytes | None) -> None:
    path = placed(adapter, content)
    apply_connect(home, plan_connect(adapter, home))
    assert as_wanted(adapter, home)
    assert connected_adapters(home, ADAPTERS) == [adapter]
    if content is not None and not adapter.own_file:
        assert backup_path(path).read_bytes() == content
        assert stat.S_IMODE(backup_path(path).stat().st_mode) == 0o600
    apply_disconnect(home, plan_disconnect(adapter, home))
    assert (path.read_bytes() if path.exists() else None) == content
    assert not backup_path(path).exists()
    assert not (home / "installed.json").exists()


ODD = [
    None,
    b"",
    b"\n",
    b"{}",
    b"{ }\n",
    b'{"hooks": { "Stop": [ ] }}',
    b'\xef\xbb\xbf{"model": "opus"}\r\n',
    b'{\n\t"a": 1,\n\n\t"hooks":\n\t{\n\t\t"Stop"  :  [\n\t\t]\n\t}}',
    b'{"hooks": {}, "a": [1,2,  3], "hooks": {"Stop": []}}',
]


@each_edited
@pytest.mark.parametrize("content", ODD)
def test_odd_files_come_back_as_they_were(user: Path, adapter: Adapter, content: bytes | None) -> None:
    there_and_back(adapter, user / "worklore", content)


@each_own
def test_a_file_of_our_own_comes_and_goes_as_a_whole(user: Path, adapter: Adapter) -> None:
    there_and_back(adapter, user / "worklore", None)
    path = placed(adapter, b"somebody else's")
    for plan in (plan_connect, plan_connect):
        with pytest.raises(SettingsRefused, match="somebody else's: nothing was changed"):
            plan(adapter, user / "worklore")
    assert not plan_disconnect(adapter, user / "worklore").needed
    assert path.read_bytes() == b"somebody else's"


COMMENTED = b"""// the settings of this machine
{
  "theme": "dark", // not too bright
  "hooks": {
    /* the shell is watched */
    "BeforeTool": [{ "matcher": "*", "hooks": [{ "type": "command", "command": "date" }, ], }, ],
    "BeforeAgent": [ // none yet, { honestly
    ],
  },
}
"""


def test_comments_and_last_commas_stay_where_an_agent_allows_them(user: Path) -> None:
    adapter, home = BY_NAME["gemini-cli"], user / "worklore"
    for content in (COMMENTED, b"// nothing but this\n"):
        there_and_back(adapter, home, content)
    path = placed(adapter, COMMENTED)
    apply_connect(home, plan_connect(adapter, home))
    written = path.read_text()
    for remark in ("// the settings", "// not too bright", "/* the shell is watched */", "// none yet, { honestly"):
        assert remark in written
    # Without the copy, and changed by its owner since: our entries alone go.
    backup_path(path).unlink()
    path.write_text(written.replace("dark", "light"))
    apply_disconnect(home, plan_disconnect(adapter, home))
    assert path.read_bytes() == COMMENTED.replace(b"dark", b"light")


@each_edited
def test_what_others_change_in_between_stays(user: Path, adapter: Adapter) -> None:
    home, event = user / "worklore", adapter.events[-1].theirs
    version = '"version": 1, ' if adapter.layout is Layout.flat else ""
    path = placed(adapter, f'{{{version}"model": "opus", "hooks": {{"{event}": []}}}}'.encode())
    apply_connect(home, plan_connect(adapter, home))
    handler = '{"type": "command", "command": "notify-send done"}'
    theirs = f'{{"hooks": [{handler}]}}' if adapter.layout is Layout.groups else handler
    text = path.read_text()
    listed = json_text.parse(text).member("hooks").member(event)  # type: ignore[union-attr] # it was just put there
    assert listed is not None
    place = listed.starts[0]
    path.write_text((text[:place] + theirs + ", " + text[place:]).replace('"opus"', '"sonnet"'))
    assert as_wanted(adapter, home)
    apply_disconnect(home, plan_disconnect(adapter, home))
    assert path.read_text() == f'{{{version}"model": "sonnet", "hooks": {{"{event}": [{theirs}]}}}}'


def test_a_handler_moved_into_a_group_of_others_is_still_ours(user: Path) -> None:
    ours = entries(CLAUDE_CODE, HOME)["Stop"][0]["hooks"][0]
    document = {"hooks": {"Stop": [{"matcher": "x", "hooks": [{"type": "command", "command": "date"}, ours]}]}}
    path = placed(CLAUDE_CODE, json.dumps(document).encode())
    apply_disconnect(user / "worklore", plan_disconnect(CLAUDE_CODE, user / "worklore"))
    assert json.loads(path.read_text()) == {
        "hooks": {"Stop": [{"matcher": "x", "hooks": [{"type": "command", "command": "date"}]}]}
    }


@each_agent
def test_another_interpreter_replaces_the_entries_and_keeps_the_first_copy(
    user: Path, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = user / "worklore"
    content = None if adapter.own_file else b'{"model": "opus"}'
    path = placed(adapter, content)
    monkeypatch.setattr("sys.executable", "/opt/old/bin/python")
    apply_connect(home, plan_connect(adapter, home))
    monkeypatch.setattr("sys.executable", "/opt/new/bin/python")
    assert not as_wanted(adapter, home)
    apply_connect(home, plan_connect(adapter, home))
    assert "/opt/old" not in path.read_text()
    assert as_wanted(adapter, home)
    apply_disconnect(home, plan_disconnect(adapter, home))
    assert (path.read_bytes() if path.exists() else None) == content


def test_entries_of_the_first_release_are_brought_up_to_date(user: Path) -> None:
    home = user / "worklore"
    original = b'{"model": "opus"}'
    old = {event: each for event, each in entries(CLAUDE_CODE, home).items() if event in ("SessionStart", "Stop")}
    text, created = with_entries(original.decode(), CLAUDE_CODE, old)
    path = placed(CLAUDE_CODE, text.encode())
    backup_path(path).write_bytes(original)
    digests = {"before": agent_settings._digest(original), "after": agent_settings._digest(text.encode())}
    record = {"settings": str(path), "created": created, **digests}
    (home / "installed.json").write_text(json.dumps(record))
    apply_connect(home, plan_connect(CLAUDE_CODE, home))
    assert as_wanted(CLAUDE_CODE, home)
    assert set(installed(CLAUDE_CODE)) == {event.theirs for event in CLAUDE_CODE.events}
    apply_disconnect(home, plan_disconnect(CLAUDE_CODE, home))
    assert path.read_bytes() == original


@each_edited
@pytest.mark.parametrize(
    "content",
    [b'{"a": 1,, }', b"[]", b"\xff\xfe{}", b'{"hooks": []}', b'{"hooks": {"%s": {}}}', b"[" * 100_000, b"{} {}"],
)
def test_a_file_that_is_no_settings_is_left_alone(user: Path, adapter: Adapter, content: bytes) -> None:
    content = content.replace(b"%s", adapter.events[-1].theirs.encode())
    path = placed(adapter, content)
    for plan in (plan_connect, plan_disconnect):
        with pytest.raises(SettingsRefused, match="nothing was changed"):
            plan(adapter, user / "worklore")
    assert path.read_bytes() == content


@each_edited
@pytest.mark.parametrize("content", [b'{"a": 1,}', b"// a comment\n{}"])
def test_what_is_no_json_is_refused_where_the_agent_takes_none_else(
    user: Path, adapter: Adapter, content: bytes
) -> None:
    placed(adapter, content)
    if adapter.comments:
        there_and_back(adapter, user / "worklore", content)
    else:
        with pytest.raises(SettingsRefused, match="is not JSON"):
            plan_connect(adapter, user / "worklore")


@each_edited
def test_a_link_to_the_settings_stays_a_link_and_the_mode_stays(user: Path, adapter: Adapter) -> None:
    home, path = user / "worklore", placed(adapter, None)
    real = user / "dotfiles.json"
    real.write_text("{}")
    real.chmod(0o640)
    path.symlink_to(real)
    apply_connect(home, plan_connect(adapter, home))
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert as_wanted(adapter, home)
    apply_disconnect(home, plan_disconnect(adapter, home))
    assert (path.is_symlink(), real.read_text()) == (True, "{}")


@each_edited
def test_a_read_only_file_is_meant_to_stay_as_it_is(user: Path, adapter: Adapter) -> None:
    path = placed(adapter, b"{}")
    path.chmod(0o444)
    with pytest.raises(SettingsRefused, match="read-only: nothing was changed"):
        plan_connect(adapter, user / "worklore")
    assert path.read_bytes() == b"{}"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
@each_agent
def test_files_of_another_user_are_refused_and_stay(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("HOME", folder)
        path = placed(adapter, None if adapter.own_file else b"{}")
        for each in (Path(folder), *Path(folder).rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o644)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgid(65534)
                os.setuid(65534)
                plan_connect(adapter, Path(folder) / "worklore")
            except BaseException as error:  # noqa: BLE001 - the child must never go on with the tests
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            assert b"read-only: nothing was changed" in told.read()
        assert path.exists() != adapter.own_file


def test_our_plugin_takes_the_place_of_entries(user: Path) -> None:
    home, original = user / "worklore", b'{"enabledPlugins": {"worklore@example": false}}'
    path = placed(CLAUDE_CODE, original)
    apply_connect(home, plan_connect(CLAUDE_CODE, home))
    text = path.read_text().replace("false", "true", 1)
    path.write_text(text)
    change = plan_connect(CLAUDE_CODE, home)
    assert (change.plugin, change.needed) == (True, True)
    apply_connect(home, change)
    assert path.read_bytes() == original.replace(b"false", b"true")
    assert not plan_connect(CLAUDE_CODE, home).needed


ODD_WORDS = [
    "/opt/a b/python",
    "it's",
    'a "quoted" word',
    "$HOME `id` \\ ;&|",
    "café \u2018x\u2019 😀",
    "",
    "%PATH%",
    "a\\",
]


def test_a_posix_shell_reads_the_words_as_they_are(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-c", "import sys, json; print(json.dumps(sys.argv[1:]))", *ODD_WORDS]
    for shell in ("/bin/sh", "/bin/bash"):
        ran = subprocess.run([shell, "-c", hook_entries.line(words, None)], capture_output=True, check=True)
        assert json.loads(ran.stdout) == ODD_WORDS


def test_the_shells_of_windows_are_given_their_own_quotation_marks() -> None:
    line = hook_entries.line(
        [r"C:\Program Files\Python\python.exe", "-I", "it's \u2018x\u2019 $y"], WindowsShell.powershell
    )
    assert line == "& 'C:\\Program Files\\Python\\python.exe' '-I' 'it''s \u2018\u2018x\u2019\u2019 $y'"
    line = hook_entries.line([r"C:\Program Files\Python\python.exe", "-I", 'a "b"'], WindowsShell.cmd)
    assert line == r'"C:\Program Files\Python\python.exe" -I "a \"b\""'


@each_agent
def test_every_entry_runs_the_hook_file_and_is_known_as_ours(user: Path, adapter: Adapter) -> None:
    home = user / "kim's worklore"
    text = hook_entries.document(adapter, home) if adapter.own_file else json.dumps({"hooks": entries(adapter, home)})
    assert "worklore_client/hook.py" in text
    for listed in entries(adapter, home).values():
        for entry in listed:
            for each in entry.get("hooks", [entry]):
                assert hook_entries.is_ours(each)
                words = hook_entries.words_of(each)
                words = shlex.split(words[-1]) if words[0] == "/bin/sh" else words
                assert words[:4] == [sys.executable, "-I", "-S", str(hook_entries.HOOK_FILE)]
                assert words[4:6] == [str(home), adapter.name]
