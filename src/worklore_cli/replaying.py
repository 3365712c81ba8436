"""Driving recorded transcripts through the real hooks, as if the sessions happened now."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from worklore_cli.connecting import connected, hook_log
from worklore_cli.failure import Failure
from worklore_cli.hooks import HookRun, installed_commands, run_hook, told
from worklore_cli.tokens import count_tokens
from worklore_client.adapters import CLAUDE_CODE
from worklore_client.config import PRIVATE_FOLDER
from worklore_client.events import start_flusher
from worklore_client.hook_entries import command
from worklore_client.spool import FlushState, flusher_lock, note_files

Progressing = Callable[[int, int], None]
_SHELL = "Bash"


@dataclass
class Report:
    """What one replayed session showed. Times in milliseconds; `silent` are hooks that gave up quietly, by code."""

    file: str
    session: str
    prompts: int = 0
    hooks: int = 0
    failures: list[str] = field(default_factory=list[str])
    silent: dict[str, int] = field(default_factory=dict[str, int])
    milliseconds: list[float] = field(default_factory=list[float])
    by_event: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    windows: int = 0
    duplicates: int = 0
    injected_tokens: int = 0
    tokenizer: str = ""
    drained: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the single times give way to p50 and p95."""
        times = {event: percentiles(each) for event, each in self.by_event.items()}
        return {**asdict(self), "milliseconds": percentiles(self.milliseconds), "by_event": times}

    def line(self) -> str:
        """For people."""
        rest = "" if self.drained else ", NOT everything was sent"
        return (
            f"{self.file}: {self.prompts} prompts, {self.hooks} hooks, {len(self.failures)} failed, "
            f"{self.windows} memories stored, {self.duplicates} known already, {self.injected_tokens} tokens told{rest}"
        )


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """p50 and p95, 0 where nothing was measured."""
    if not times:
        return {"p50": 0.0, "p95": 0.0}
    cut = statistics.quantiles(times, n=20, method="inclusive") if len(times) > 1 else [times[0]] * 19
    return {"p50": round(statistics.median(times), 1), "p95": round(cut[-1], 1)}


def total(reports: Sequence[Report]) -> dict[str, Any]:
    """The sums over all sessions."""
    silent: Counter[str] = Counter()
    times: dict[str, list[float]] = {}
    for report in reports:
        silent.update(report.silent)
        for event, each in report.by_event.items():
            times.setdefault(event, []).extend(each)
    return {
        "sessions": len(reports),
        "prompts": sum(report.prompts for report in reports),
        "hooks": sum(report.hooks for report in reports),
        "failures": sum(len(report.failures) for report in reports),
        "silent": dict(silent),
        "milliseconds": percentiles([each for report in reports for each in report.milliseconds]),
        "by_event": {event: percentiles(each) for event, each in times.items()},
        "windows": sum(report.windows for report in reports),
        "duplicates": sum(report.duplicates for report in reports),
        "injected_tokens": sum(report.injected_tokens for report in reports),
        "tokenizer": reports[0].tokenizer if reports else "",
        "drained": all(report.drained for report in reports),
    }


def summary(sums: dict[str, Any]) -> str:
    """The sums for people."""
    quiet = ", ".join(f"{code} {count} times" for code, count in sums["silent"].items())
    times = sums["milliseconds"]
    lines = [
        f"{sums['sessions']} sessions, {sums['hooks']} hooks, {sums['failures']} failed",
        f"a hook took {times['p50']} ms (p50), {times['p95']} ms (p95)",
        *(f"  {event}: {each['p50']} ms, {each['p95']} ms" for event, each in sums["by_event"].items()),
        f"{sums['windows']} memories stored, {sums['duplicates']} known already",
        f"{sums['injected_tokens']} tokens told ({sums['tokenizer']})",
    ]
    if quiet:
        lines.append(f"Hooks that gave up in silence: {quiet}. See `worklore doctor`")
    if not sums["drained"]:
        lines.append("Not everything could be sent: see `worklore doctor`")
    return "\n".join(lines)


# --- the recorded session ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A line of the transcript and what it is: prompt (with its text), compaction, answer or anything else.

    `used` are the tools that it has the agent run, `ended` those that it tells the end of, and whether they failed.
    """

    line: bytes
    kind: str
    prompt: str = ""
    used: tuple[dict[str, Any], ...] = ()
    ended: tuple[bool, ...] = ()


def steps(path: Path) -> tuple[str, list[Step]]:
    """(session id, lines) of a transcript. Lines that are no records stay in, as they would in the agent's own file."""
    found: list[Step] = []
    sessions: Counter[str] = Counter()
    for raw in path.read_bytes().removesuffix(b"\n").split(b"\n"):
        try:
            record: Any = json.loads(raw.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            record = None
        members = cast("dict[str, Any]", record) if isinstance(record, dict) else {}
        if isinstance(members.get("sessionId"), str):
            sessions[members["sessionId"]] += 1
        prompt = prompt_of(members)
        used, ended = tools_of(members)
        found.append(Step(raw + b"\n", "prompt" if prompt else _kind(members), prompt, used, ended))
    return (sessions.most_common(1)[0][0] if sessions else path.stem), found


def _kind(record: dict[str, Any]) -> str:
    if record.get("subtype") == "compact_boundary":
        return "compaction"
    return "answer" if record.get("type") == "assistant" else "other"


def tools_of(record: dict[str, Any]) -> tuple[tuple[dict[str, Any], ...], tuple[bool, ...]]:
    """The calls of tools in a record, as the agent tells its hooks of them, and for each result whether it failed."""
    message = record.get("message")
    content: Any = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else None
    if record.get("isSidechain") or not isinstance(content, list):
        return (), ()
    blocks = [cast("dict[str, Any]", block) for block in cast("Sequence[Any]", content) if isinstance(block, dict)]
    used = tuple(
        {"tool_name": block.get("name"), "tool_input": block.get("input"), "tool_use_id": block.get("id")}
        for block in blocks
        if block.get("type") == "tool_use"
    )
    return used, tuple(block.get("is_error") is True for block in blocks if block.get("type") == "tool_result")


def prompt_of(record: dict[str, Any]) -> str:
    """The words a person typed, "" for every other record: tool results, summaries, wrappers of local commands."""
    if record.get("type") != "user" or any(record.get(mark) for mark in ("isMeta", "isSidechain", "isCompactSummary")):
        return ""
    message = record.get("message")
    content: Any = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        blocks = [cast("dict[str, Any]", block) for block in cast("Sequence[Any]", content) if isinstance(block, dict)]
        if any(block.get("type") == "tool_result" for block in blocks):
            return ""
        content = "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    if not isinstance(content, str) or content.startswith(("<command-", "<local-command-", "Caveat:", "[Request ")):
        return ""
    return content.strip()


# --- the replay ----------------------------------------------------------------------------------------------------


class Replay:
    """Replays sessions for the client at `home`, working in `folder`; waits `patience` seconds for the flusher."""

    def __init__(self, home: Path, folder: Path, patience: float) -> None:
        self._home = home
        self._folder = folder
        self._patience = patience
        connected(home)
        try:
            self._commands = installed_commands(home)
        except Failure:
            # Connected, but the agent's settings are another home's: the very same commands, made for this one.
            self._commands = {event.name: command(CLAUDE_CODE, event, home) for event in CLAUDE_CODE.events}

    def run(self, path: Path, progressing: Progressing) -> Report:
        """Replay one transcript."""
        session, found = steps(path)
        report = Report(path.name, session)
        before, logged = FlushState.load(self._home), Counter(_codes(self._home))
        folder = self._home / "replay"
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        copy = folder / f"{session}.jsonl"
        copy.touch(mode=0o600)
        try:
            told_texts: list[str] = []
            for run in self._events(session, found, copy, progressing):
                report.hooks += 1
                report.prompts += run.event == "UserPromptSubmit"
                report.milliseconds.append(run.milliseconds)
                report.by_event.setdefault(run.event, []).append(run.milliseconds)
                if run.failure:
                    report.failures.append(f"{run.event}: {run.failure}")
                told_texts.append(told(run.output))
            report.drained = self._wait()
        finally:
            copy.unlink(missing_ok=True)
        report.injected_tokens, report.tokenizer = _cost(told_texts)
        after = FlushState.load(self._home)
        report.windows = after.windows - before.windows
        report.duplicates = after.duplicates - before.duplicates
        report.silent = dict(Counter(_codes(self._home)) - logged)
        return report

    def _events(self, session: str, found: list[Step], copy: Path, progressing: Progressing) -> Iterator[HookRun]:
        about = {"session_id": session, "transcript_path": str(copy)}
        open_turn = False
        with copy.open("wb", buffering=0) as file:
            yield self._run("SessionStart", **about, source="startup")
            for number, step in enumerate(found, 1):
                if step.kind == "prompt":
                    if open_turn:
                        yield self._run("Stop", **about, stop_hook_active=False)
                        open_turn = False
                    yield self._run("UserPromptSubmit", **about, prompt=step.prompt)
                elif step.kind == "compaction":
                    yield self._run("PreCompact", **about, trigger="auto", custom_instructions="")
                file.write(step.line)
                if step.kind == "compaction":
                    yield self._run("PostCompact", **about, trigger="auto", compact_summary="")
                for call in step.used:
                    if call["tool_name"] == _SHELL:
                        yield self._run("PreToolUse", **about, **call)
                for failed in step.ended:
                    yield self._run("PostToolUseFailure" if failed else "PostToolUse", **about, tool_name=_SHELL)
                open_turn = open_turn or step.kind == "answer"
                progressing(number, len(found))
            yield self._run("Stop", **about, stop_hook_active=False)
            yield self._run("SessionEnd", **about, reason="other")

    def _run(self, event: str, **members: Any) -> HookRun:
        return run_hook(self._commands[event], event, self._folder, **members)

    def _wait(self) -> bool:
        """Wait until nothing is left to send and the flusher has ended; start it again where it gave up."""
        end = time.monotonic() + self._patience
        while time.monotonic() <= end:
            notes = note_files(self._home)
            with flusher_lock(self._home) as free:
                idle = free
            if idle and not notes:
                return True
            if idle:
                start_flusher(str(self._home))
            time.sleep(0.2 if idle else 0.05)
        return False


def _codes(home: Path) -> list[str]:
    return [" ".join(line.split()[1:]) for line in hook_log(home)]


def _cost(texts: Sequence[str]) -> tuple[int, str]:
    counted = [count_tokens(text) for text in texts if text]
    return sum(tokens for tokens, _ in counted), count_tokens("")[1]
