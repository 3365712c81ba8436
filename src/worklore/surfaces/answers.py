"""How each agent wants to be told something by its hooks: the exact members of the answer, and nothing beside.

Some agents take an unknown member for a fault of the whole answer, and some read nothing but their own. What each of
them calls the members of what it sends is here too, as far as the hub reads it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Form = Callable[[str], dict[str, Any]]
"""From a text to the object that the hook prints."""


def specific(event: str) -> Form:
    """Beside the event's name, as Claude Code has it; Codex and Gemini CLI took it over."""
    return lambda text: {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}


def member(name: str) -> Form:
    """One member."""
    return lambda text: {name: text}


_AS_NAMED: Final = {event: specific(event) for event in ("SessionStart", "UserPromptSubmit", "PreToolUse")}

ANSWERS: Final[Mapping[str, Mapping[str, Form]]] = {
    "claude-code": _AS_NAMED,
    "codex": _AS_NAMED,
    "gemini-cli": {"SessionStart": specific("SessionStart"), "UserPromptSubmit": specific("BeforeAgent")},
    "cursor": {"SessionStart": member("additional_context")},
    "copilot-cli": {"SessionStart": member("additionalContext"), "UserPromptSubmit": member("additionalContext")},
    "opencode": {"SessionStart": member("additionalContext"), "UserPromptSubmit": member("additionalContext")},
}
"""By agent and by our own name of the event: what can be told something, and how."""

SESSION_MEMBERS: Final = ("session_id", "conversation_id", "sessionId")
"""What agents call their own id of a session."""
