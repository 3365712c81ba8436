"""Our hooks in the agent's settings: in, out, and nothing else touched."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklore_client import json_text
from worklore_client.agent_settings import (
    MATCHERS,
    SettingsRefused,
    apply_connect,
    apply_disconnect,
    backup_path,
    entries,
    installed,
    plan_connect,
    plan_disconnect,
    with_hooks,
    without_hooks,
)

WANTED = entries(Path("/home/kim/.worklore"))
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3))
handlers = st.fixed_dictionaries({"type": st.just("command"), "command": st.text(max_size=8)})
groups = st.fixed_dictionaries({"hooks": st.lists(handlers, max_size=2)}, optional={"matcher": st.text(max_size=4)})
events = st.sampled_from([*WANTED, "PostToolUse", "Notification"])
hooks = st.fixed_dictionaries({}, optional={"hooks": st.dictionaries(events, st.lists(groups, max_size=2), max_size=4)})
documents = st.tuples(
    st.dictionaries(st.text(max_size=6).filter(lambda key: key != "hooks"), values, max_size=4), hooks
).map(lambda both: both[0] | both[1])
layouts = st.sampled_from([None, 2, 4, "\t"])
newlines = st.sampled_from(["\n", "\r\n"])


def written(document: dict[str, Any], layout: int | str | None, newline: str) -> str:
    return json.dumps(document, ensure_ascii=False, indent=layout).replace("\n", newline)


def encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


@settings(deadline=None)
@given(documents, layouts, newlines)
def test_what_goes_in_comes_out_byte_for_byte(document: dict[str, Any], layout: int | str | None, newline: str) -> None:
    text = written(document, layout, newline)
    changed, created = with_hooks(text, WANTED)
    after = json.loads(changed)
    for event, entry in WANTED.items():
        matcher = {"matcher": MATCHERS[event]} if event in MATCHERS else {}
        assert after["hooks"][event][-1] == {**matcher, "hooks": [entry]}
        assert after["hooks"][event][:-1] == document.get("hooks", {}).get(event, [])
    assert {key: value for key, value in after.items() if key != "hooks"} == {
        key: value for key, value in document.items() if key != "hooks"
    }
    assert without_hooks(changed, created) == text


@settings(deadline=None)
@given(documents, layouts, newlines)
def test_connect_then_disconnect_is_identity_on_the_file(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], layout: int | str | None, newline: str
) -> None:
    text = written(document, layout, newline)
    if not encodable(text):
        text = json.dumps(document, indent=layout)
    folder = tmp_path_factory.mktemp("settings")
    home, path = folder / "home", folder / "claude" / "settings.json"
    home.mkdir()
    path.parent.mkdir()
    path.write_bytes(text.encode())
    apply_connect(home, *plan_connect(home, path))
    assert installed(path) == {event: [entry] for event, entry in entries(home).items()}
    assert not plan_connect(home, path)[0].needed
    apply_disconnect(home, plan_disconnect(home, path))
    assert path.read_bytes() == text.encode()
    assert sorted(folder.rglob("*.json*")) == [path]


def prepared(tmp_path: Path, text: str | bytes | None) -> tuple[Path, Path]:
    home, path = tmp_path / "home", tmp_path / "claude" / "settings.json"
    home.mkdir()
    path.parent.mkdir()
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return home, path


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


@pytest.mark.parametrize("text", ODD)
def test_odd_files_come_back_as_they_were(tmp_path: Path, text: bytes | None) -> None:
    home, path = prepared(tmp_path, text)
    apply_connect(home, *plan_connect(home, path))
    assert len(installed(path)) == len(WANTED)
    if text is not None:
        assert backup_path(path).read_bytes() == text
    apply_disconnect(home, plan_disconnect(home, path))
    assert (path.read_bytes() if path.exists() else None) == text


def test_what_others_change_in_between_stays(tmp_path: Path) -> None:
    home, path = prepared(tmp_path, '{\n  "model": "opus",\n  "hooks": {\n    "Stop": []\n  }\n}\n')
    apply_connect(home, *plan_connect(home, path))
    theirs = '{"hooks": [{"type": "command", "command": "notify-send done"}]}'
    text = path.read_text()
    stop = json_text.parse(text).member("hooks").member("Stop")  # type: ignore[union-attr] # it was just put there
    assert stop is not None
    place = stop.starts[0]
    path.write_text((text[:place] + theirs + ", " + text[place:]).replace('"opus"', '"sonnet"'))
    assert not plan_connect(home, path)[0].needed
    apply_disconnect(home, plan_disconnect(home, path))
    assert json.loads(path.read_text()) == {"model": "sonnet", "hooks": {"Stop": [json.loads(theirs)]}}
    assert theirs in path.read_text()


def test_a_handler_moved_into_a_group_of_others_is_still_ours(tmp_path: Path) -> None:
    ours = WANTED["Stop"]
    document = {"hooks": {"Stop": [{"matcher": "x", "hooks": [{"type": "command", "command": "date"}, ours]}]}}
    home, path = prepared(tmp_path, json.dumps(document))
    apply_disconnect(home, plan_disconnect(home, path))
    assert json.loads(path.read_text()) == {
        "hooks": {"Stop": [{"matcher": "x", "hooks": [{"type": "command", "command": "date"}]}]}
    }


def test_another_interpreter_replaces_the_entries_and_keeps_the_first_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, path = prepared(tmp_path, '{"model": "opus"}')
    monkeypatch.setattr("sys.executable", "/opt/old/bin/python")
    apply_connect(home, *plan_connect(home, path))
    monkeypatch.setattr("sys.executable", "/opt/new/bin/python")
    change, created = plan_connect(home, path)
    assert change.needed
    apply_connect(home, change, created)
    assert {entry[0]["command"] for entry in installed(path).values()} == {"/opt/new/bin/python"}
    assert [len(entry) for entry in installed(path).values()] == [1] * len(WANTED)
    apply_disconnect(home, plan_disconnect(home, path))
    assert path.read_text() == '{"model": "opus"}'


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1,}',
        b"// a comment\n{}",
        b"[]",
        b"\xff\xfe{}",
        b'{"hooks": []}',
        b'{"hooks": {"Stop": {}}}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_settings_is_left_alone(tmp_path: Path, text: bytes) -> None:
    home, path = prepared(tmp_path, text)
    for plan in (plan_connect, plan_disconnect):
        with pytest.raises(SettingsRefused, match="nothing was changed"):
            plan(home, path)
    assert path.read_bytes() == text


def test_a_link_to_the_settings_stays_a_link_and_the_mode_stays(tmp_path: Path) -> None:
    home, path = prepared(tmp_path, None)
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    real.chmod(0o640)
    path.symlink_to(real)
    apply_connect(home, *plan_connect(home, path))
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert len(installed(path)) == len(WANTED)
    apply_disconnect(home, plan_disconnect(home, path))
    assert (path.is_symlink(), real.read_text()) == (True, "{}")
