"""What each agent's hooks are like: one table, and nothing else in the client knows an agent by name.

Where its settings lie and in which form, which of its events are of use and what it calls them, what it names the
members of an event, how it counts seconds, whether it starts programs itself or by a shell. Hooks cannot afford to read
it: what they need of it stands in their own command line. The hub words its answers itself
(``worklore.surfaces.answers``); a test holds the two together.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from worklore_client.config import user_home


class Layout(StrEnum):
    """How hooks stand in the file: ``groups`` are lists of matchers with handlers, ``flat`` are lists of handlers.

    A ``script`` is a file in the agent's own language. ``groups`` and ``flat`` are JSON below the member ``hooks``.
    """

    groups = "groups"
    flat = "flat"
    script = "script"


class Handler(StrEnum):
    """How a handler names what to run: program and arguments apart, one command line, or one for each shell."""

    arguments = "arguments"
    line = "line"
    shells = "shells"


class WindowsShell(StrEnum):
    """The shell that runs an agent's command lines on Windows."""

    cmd = "cmd"
    powershell = "powershell"


@dataclass(frozen=True)
class Event:
    """An event that is of use: `name` is ours, `theirs` the agent's.

    `seconds` is how long the agent waits for the hook before it gives it up: far above what ours allow themselves.
    `matcher` is a pattern of the tools it is for, "" for all. With `background` the agent goes on without waiting.
    """

    name: str
    theirs: str
    seconds: int = 5
    matcher: str = ""
    background: bool = False


@dataclass(frozen=True)
class Members:
    """What the agent calls the members of an event. "" for what its events do not tell."""

    session: str = "session_id"
    transcript: str = "transcript_path"
    event: str = "hook_event_name"


@dataclass(frozen=True)
class Adapter:
    """An agent. `folder` is its own below the user's; `variable` of the environment moves it.

    Where `moves_user_folder`, the variable names what stands for the user's folder; else the agent's folder itself.
    `own_file` is a file that holds nothing but our entries: it comes and goes as a whole. `answer` is the member in
    which it takes a text for the model, "" where that stands beside the event's name. `notice` is what the person has
    to do beside.
    """

    name: str
    title: str
    program: str
    folder: str
    file: str
    variable: str = ""
    moves_user_folder: bool = False
    layout: Layout = Layout.groups
    handler: Handler = Handler.line
    own_file: bool = False
    comments: bool = False
    milliseconds: bool = False
    windows_shell: WindowsShell = WindowsShell.cmd
    members: Members = Members()
    answer: str = ""
    events: tuple[Event, ...] = ()
    notice: str = ""

    def home(self) -> Path:
        """The agent's folder on this machine, whether or not it is there."""
        moved = os.environ.get(self.variable) if self.variable else None
        if moved:
            return Path(moved).absolute() / self.folder if self.moves_user_folder else Path(moved).absolute()
        return user_home() / self.folder

    def settings_path(self) -> Path:
        """The file that our entries stand in."""
        return self.home() / self.file

    def time_limit(self, event: Event) -> int:
        """An event's limit as the agent counts it."""
        return event.seconds * 1000 if self.milliseconds else event.seconds


CLAUDE_CODE = Adapter(
    name="claude-code",
    title="Claude Code",
    program="claude",
    folder=".claude",
    file="settings.json",
    variable="CLAUDE_CONFIG_DIR",
    handler=Handler.arguments,
    # What ends a turn or a session is waited for, 20 ms: what runs in the background dies with `claude -p`.
    events=(
        Event("SessionStart", "SessionStart", 10),
        Event("UserPromptSubmit", "UserPromptSubmit"),
        Event("PreToolUse", "PreToolUse", matcher="Bash"),
        Event("PostToolUse", "PostToolUse", background=True),
        Event("PostToolUseFailure", "PostToolUseFailure", background=True),
        Event("Stop", "Stop"),
        Event("SubagentStop", "SubagentStop", background=True),
        Event("PreCompact", "PreCompact"),
        Event("PostCompact", "PostCompact"),
        Event("SessionEnd", "SessionEnd"),
    ),
)

CODEX = Adapter(
    name="codex",
    title="Codex",
    program="codex",
    folder=".codex",
    file="hooks.json",
    variable="CODEX_HOME",
    events=(
        Event("SessionStart", "SessionStart", 10),
        Event("UserPromptSubmit", "UserPromptSubmit"),
        Event("PreToolUse", "PreToolUse", matcher="Bash"),
        Event("PostToolUse", "PostToolUse"),
        Event("Stop", "Stop"),
        Event("SubagentStop", "SubagentStop"),
        Event("PreCompact", "PreCompact"),
        Event("PostCompact", "PostCompact"),
    ),
    notice="Codex runs new hooks once you trust them: type /hooks in Codex",
)

GEMINI_CLI = Adapter(
    name="gemini-cli",
    title="Gemini CLI",
    program="gemini",
    folder=".gemini",
    file="settings.json",
    variable="GEMINI_CLI_HOME",
    moves_user_folder=True,
    comments=True,
    milliseconds=True,
    windows_shell=WindowsShell.powershell,
    # Nothing can be said to it before a tool runs without stopping the tool.
    events=(
        Event("SessionStart", "SessionStart", 10),
        Event("UserPromptSubmit", "BeforeAgent"),
        Event("Said", "AfterAgent"),
        Event("Said", "AfterTool", matcher="run_shell_command"),
    ),
)

CURSOR = Adapter(
    name="cursor",
    title="Cursor",
    program="cursor",
    folder=".cursor",
    file="hooks.json",
    layout=Layout.flat,
    windows_shell=WindowsShell.powershell,
    members=Members(session="conversation_id"),
    answer="additional_context",
    # A prompt cannot be added to: memory comes with the start of the session.
    events=(
        Event("SessionStart", "sessionStart", 10),
        Event("Said", "beforeSubmitPrompt"),
        Event("Said", "afterAgentResponse"),
        Event("Said", "afterShellExecution"),
    ),
)

COPILOT_CLI = Adapter(
    name="copilot-cli",
    title="Copilot CLI",
    program="copilot",
    folder=".copilot",
    file="hooks/worklore.json",
    variable="COPILOT_HOME",
    layout=Layout.flat,
    handler=Handler.shells,
    own_file=True,
    members=Members(session="sessionId", transcript="transcriptPath", event=""),
    answer="additionalContext",
    events=(
        Event("SessionStart", "sessionStart", 10),
        Event("UserPromptSubmit", "userPromptSubmitted"),
        Event("Said", "userPromptSubmitted"),
        Event("Said", "postToolUse"),
    ),
)

OPENCODE = Adapter(
    name="opencode",
    title="OpenCode",
    program="opencode",
    folder=".config/opencode",
    file="plugins/worklore.js",
    variable="OPENCODE_CONFIG_DIR",
    layout=Layout.script,
    handler=Handler.arguments,
    own_file=True,
    members=Members(event=""),
    answer="additionalContext",
    events=(
        Event("SessionStart", "experimental.chat.system.transform", 10),
        Event("UserPromptSubmit", "chat.message"),
        Event("Said", "event"),
        Event("Said", "tool.execute.after"),
    ),
)

ADAPTERS = (CLAUDE_CODE, CODEX, GEMINI_CLI, CURSOR, COPILOT_CLI, OPENCODE)
BY_NAME = {adapter.name: adapter for adapter in ADAPTERS}
