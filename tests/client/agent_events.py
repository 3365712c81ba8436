"""What each agent gives its hooks, written down from its documented contract with example data; and what it takes back.

`{project}`, `{transcript}` and `{session}` stand for the test's own.
"""

from typing import Any

ABOUT = {"session_id": "{session}", "transcript_path": "{transcript}", "cwd": "{project}"}
CLAUDE = {**ABOUT, "permission_mode": "default", "prompt_id": "p-1"}
CODEX = {**ABOUT, "turn_id": "t-1", "model": "gpt-5", "permission_mode": "default"}
GEMINI = {**ABOUT, "timestamp": "2026-03-04T09:00:00.000Z"}
CURSOR = {
    "conversation_id": "{session}",
    "generation_id": "g-1",
    "model": "example-model",
    "cursor_version": "2.4.0",
    "workspace_roots": ["{project}"],
    "user_email": "kim@example.com",
    "transcript_path": None,
}
COPILOT = {"sessionId": "{session}", "timestamp": 1_772_614_800_000, "cwd": "{project}"}
BASH = {"tool_name": "Bash", "tool_input": {"command": "systemctl restart backup"}, "tool_use_id": "toolu_1"}
PROMPT = "why does the nas-07 backup fail again?"
ANSWER = "The certificate of nas-07 had run out; it is renewed until 2027"
PRINTED = "backup.service: started"

EVENTS: dict[str, dict[str, dict[str, Any]]] = {
    "claude-code": {
        "SessionStart": {**CLAUDE, "source": "startup", "model": "claude-opus-4-5"},
        "UserPromptSubmit": {**CLAUDE, "prompt": PROMPT},
        "PreToolUse": {**CLAUDE, **BASH},
        "PostToolUse": {**CLAUDE, **BASH, "tool_response": {"stdout": PRINTED, "stderr": ""}, "duration_ms": 120},
        "PostToolUseFailure": {**CLAUDE, **BASH, "error": "Exit code 1", "is_interrupt": False, "duration_ms": 80},
        "Stop": {**CLAUDE, "stop_hook_active": False, "last_assistant_message": ANSWER, "background_tasks": []},
        "SubagentStop": {
            **CLAUDE,
            "agent_id": "a1",
            "agent_type": "Explore",
            "agent_transcript_path": "{transcript}",
            "stop_hook_active": False,
        },
        "PreCompact": {**CLAUDE, "trigger": "auto", "custom_instructions": ""},
        "PostCompact": {**CLAUDE, "trigger": "auto", "compact_summary": "The backup of nas-07 was repaired"},
        "SessionEnd": {**CLAUDE, "reason": "prompt_input_exit"},
    },
    "codex": {
        "SessionStart": {**CODEX, "source": "startup"},
        "UserPromptSubmit": {**CODEX, "prompt": PROMPT},
        "PreToolUse": {**CODEX, **BASH},
        "PostToolUse": {**CODEX, **BASH, "tool_response": PRINTED},
        "Stop": {**CODEX, "stop_hook_active": False, "last_assistant_message": ANSWER},
        "SubagentStop": {**CODEX, "agent_id": "a1", "agent_type": "worker", "stop_hook_active": False},
        "PreCompact": {**CODEX, "trigger": "auto"},
        "PostCompact": {**CODEX, "trigger": "auto"},
    },
    "gemini-cli": {
        "SessionStart": {**GEMINI, "source": "startup"},
        "BeforeAgent": {**GEMINI, "prompt": PROMPT},
        "AfterAgent": {**GEMINI, "prompt": PROMPT, "prompt_response": ANSWER, "stop_hook_active": False},
        "AfterTool": {
            **GEMINI,
            "tool_name": "run_shell_command",
            "tool_input": {"command": "systemctl restart backup"},
            "tool_response": {"llmContent": PRINTED, "returnDisplay": PRINTED},
        },
    },
    "cursor": {
        "sessionStart": {**CURSOR, "session_id": "{session}", "is_background_agent": False, "composer_mode": "agent"},
        "beforeSubmitPrompt": {**CURSOR, "prompt": PROMPT, "attachments": []},
        "afterAgentResponse": {**CURSOR, "text": ANSWER},
        "afterShellExecution": {
            **CURSOR,
            "command": "systemctl restart backup",
            "output": PRINTED,
            "duration": 120,
        },
    },
    "copilot-cli": {
        "sessionStart": {**COPILOT, "source": "new", "initialPrompt": PROMPT},
        "userPromptSubmitted": {**COPILOT, "prompt": PROMPT},
        "postToolUse": {
            **COPILOT,
            "toolName": "bash",
            "toolArgs": {"command": "systemctl restart backup"},
            "toolResult": {"resultType": "success", "textResultForLlm": PRINTED},
        },
    },
}
NAMELESS = {"copilot-cli"}
"""Agents whose events do not say what they are called."""


def event(agent: str, name: str, **known: str) -> dict[str, Any]:
    """An event as the agent would send it, with the test's own session, project and transcript."""
    named = {} if agent in NAMELESS else {"hook_event_name": name}
    filled: dict[str, Any] = _filled(EVENTS[agent][name], known)
    return {**filled, **named}


def _filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**known) if value.startswith("{") else value
    if isinstance(value, dict):
        return {key: _filled(item, known) for key, item in value.items()}
    return [_filled(item, known) for item in value] if isinstance(value, list) else value


def text_of(agent: str, name: str, output: dict[str, Any]) -> str:
    """The text for the agent in an answer; fails where the agent would not take the answer for what it is."""
    if agent in ("claude-code", "codex", "gemini-cli"):
        assert output.keys() == {"hookSpecificOutput"}, output
        inner = output["hookSpecificOutput"]
        assert inner.keys() == {"hookEventName", "additionalContext"}, inner
        assert inner["hookEventName"] == name
        return str(inner["additionalContext"])
    member = "additional_context" if agent == "cursor" else "additionalContext"
    assert output.keys() == {member}, output
    return str(output[member])
