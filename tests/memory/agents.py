"""Records as Claude Code and Codex write them, with content of our own."""

import json
from itertools import count
from typing import Any


class Claude:
    """Makes the records of a session of Claude Code; the same calls give the same records."""

    def __init__(self, name: str = "s", **common: Any) -> None:
        self.name = name
        self.common = common
        self._numbers = count(1)
        self._calls = count(1)

    def record(self, kind: str, content: Any, **more: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"role": kind, "content": content, **more.pop("message", {})}
        common = {
            "type": kind,
            "uuid": f"{self.name}-{number:04}",
            "sessionId": self.name,
            "timestamp": f"2026-03-03T10:{number // 60:02}:{number % 60:02}.000Z",
            "cwd": "/srv/portal",
            "gitBranch": "main",
        }
        return common | self.common | {"message": message} | more

    def says(self, text: str, **more: Any) -> dict[str, Any]:
        return self.record("user", text, **more)

    def answers(self, text: str, **more: Any) -> dict[str, Any]:
        return self.record("assistant", [{"type": "text", "text": text}], **more)

    def calls(self, tool: str, /, **given: Any) -> dict[str, Any]:
        key = f"toolu_{self.name}_{next(self._calls)}"
        return self.record("assistant", [{"type": "tool_use", "id": key, "name": tool, "input": given}])

    def result(self, call: dict[str, Any], output: Any, *, failed: bool = False, told: Any = None) -> dict[str, Any]:
        key = call["message"]["content"][0]["id"]
        block = {"type": "tool_result", "tool_use_id": key, "content": output, "is_error": failed}
        beside = {} if told is None else {"toolUseResult": told}
        return self.record("user", [block], **beside)

    def runs(self, command: str, output: str = "", code: int = 0, **told: Any) -> list[dict[str, Any]]:
        """A command and its result."""
        call = self.calls("Bash", command=command, description="a step")
        if code:
            return [call, self.result(call, f"Exit code {code}\n{output}", failed=True, told=f"Error: {output}")]
        return [call, self.result(call, output, told={"stdout": output, "stderr": "", "interrupted": False} | told)]

    def edits(self, path: str, old: str, new: str) -> list[dict[str, Any]]:
        call = self.calls("Edit", file_path=path, old_string=old, new_string=new)
        return [call, self.result(call, f"The file {path} has been updated.", told={"filePath": path})]

    def writes(self, path: str, content: str, *, new: bool = True) -> list[dict[str, Any]]:
        call = self.calls("Write", file_path=path, content=content)
        return [call, self.result(call, "done", told={"type": "create" if new else "update", "filePath": path})]

    def lists(self, **states: str) -> list[dict[str, Any]]:
        todos = [{"content": title.replace("_", " "), "status": state} for title, state in states.items()]
        call = self.calls("TodoWrite", todos=todos)
        return [call, self.result(call, "Todos have been modified", told={"oldTodos": [], "newTodos": todos})]


def whole_session() -> list[dict[str, Any]]:
    """One of each: what the cases of the tests are made of, and what chunking must not change."""
    claude = Claude("whole")
    used = {"id": "msg_1", "model": "claude-sonnet-4-5-20250929", "usage": {"input_tokens": 10, "output_tokens": 1}}
    more = used | {"usage": {"input_tokens": 10, "output_tokens": 200, "cache_read_input_tokens": 5000}}
    background = claude.calls("Bash", command="python -m http.server 9000", run_in_background=True)
    asked = claude.calls("BashOutput", bash_id="bash_1")
    question = claude.calls("AskUserQuestion", questions=[])
    plan = claude.calls("ExitPlanMode", plan="# Move the queue\n1. stop the writers\n2. copy")
    refused = claude.calls("Bash", command="rm -rf /srv/old")
    broken = claude.calls("Edit", file_path="/srv/portal/b.py", old_string="x", new_string="y")
    options = [{"label": "SQLite"}, {"label": "PostgreSQL"}]
    told = {
        "questions": [{"question": "Which database?", "options": options}],
        "answers": {"Which database?": "SQLite"},
    }
    return [
        claude.says("The portal answers with 502"),
        claude.record("assistant", [{"type": "text", "text": "I look at the log."}], message=used, requestId="r1"),
        claude.record("assistant", [{"type": "thinking", "thinking": "hm"}], message=more, requestId="r1"),
        *claude.runs("ssh web-01.example.com journalctl -u portal -n 50", "worker timed out\nrestarting"),
        *claude.runs("cd /srv/portal && pytest -q", "FAILED tests/test_a.py::test_queue - AssertionError", code=1),
        *claude.runs("psql -h db-01.example.com -c 'select 1'", "could not connect: Connection refused", code=2),
        *claude.writes("/srv/portal/a.py", "one\ntwo\n"),
        *claude.edits("/srv/portal/a.py", "one", "one\nand a half"),
        broken,
        claude.result(broken, "<tool_use_error>String to replace not found in file.</tool_use_error>", failed=True),
        refused,
        claude.result(refused, "The user doesn't want to proceed with this tool use. STOP", failed=True),
        background,
        claude.result(background, "running", told={"stdout": "", "stderr": "", "backgroundTaskId": "bash_1"}),
        *claude.lists(read_the_log="completed", fix_the_worker="in_progress", tell_the_client="pending"),
        question,
        claude.result(question, "answered", told=told),
        plan,
        claude.result(plan, "User has approved your plan. You can now start coding.", told={"plan": "..."}),
        asked,
        claude.result(asked, "done", told={"shellId": "bash_1", "status": "failed", "exitCode": 3, "stderr": "in use"}),
        *claude.runs("git push origin main", "main -> main"),
        *claude.lists(fix_the_worker="completed", write_it_down="pending"),
        claude.says("<bash-input>uptime</bash-input>"),
        claude.says("<bash-stdout>up 3 days</bash-stdout><bash-stderr></bash-stderr>"),
        claude.record("system", "", subtype="compact_boundary", compactMetadata={"preTokens": 150_000}),
        claude.says(
            "This session is being continued. The portal was down; the worker is fixed.", isCompactSummary=True
        ),
        claude.answers(
            "We decided to use a queue instead of a cron job because the writers must not wait.\n\n"
            "Next steps:\n- watch the queue\n- renew the certificate"
        ),
        claude.answers("Watched.\n\n**Remaining:**\n1. renew the certificate"),
    ]


def codex_line(kind: str, payload: dict[str, Any], number: int) -> dict[str, Any]:
    return {"timestamp": f"2026-03-04T09:00:{number:02}.000Z", "type": kind, "payload": payload}


def codex_session() -> list[dict[str, Any]]:
    """A rollout with each sort of line that matters."""
    where = {"id": "0195aaaa-0000-7000-8000-000000000001", "cwd": "/srv/shop", "git": {"branch": "fix/queue"}}

    def message(role: str, text: str) -> dict[str, Any]:
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    def call(name: str, key: str, given: Any) -> dict[str, Any]:
        return {"type": "function_call", "name": name, "arguments": json.dumps(given), "call_id": key}

    def output(key: str, text: str, kind: str = "function_call_output") -> dict[str, Any]:
        return {"type": kind, "call_id": key, "output": text}

    def counted(total: int, read: int, cached: int, written: int) -> dict[str, Any]:
        last = {"input_tokens": read, "cached_input_tokens": cached, "output_tokens": written}
        info = {"last_token_usage": last, "total_token_usage": {"total_tokens": total, "output_tokens": total // 10}}
        return {"type": "token_count", "info": info}

    patch = (
        "*** Begin Patch\n*** Add File: src/queue.py\n+import time\n+\n"
        "*** Update File: src/app.py\n*** Move to: src/main.py\n"
        "@@\n-old\n+new\n*** Delete File: src/cron.py\n*** End Patch"
    )
    ended = json.dumps({"output": "1 failed", "metadata": {"exit_code": 1, "duration_seconds": 2.5}})
    steps = [{"step": "Read the code", "status": "completed"}, {"step": "Write the queue", "status": "in_progress"}]
    lines = [
        ("session_meta", where),
        ("turn_context", {"cwd": "/srv/shop", "model": "gpt-5-codex"}),
        ("response_item", message("user", "<environment_context>\n<cwd>/srv/shop</cwd>\n</environment_context>")),
        ("response_item", message("user", "Orders vanish at night")),
        ("event_msg", {"type": "user_message", "message": "Orders vanish at night"}),
        ("response_item", {"type": "reasoning", "summary": []}),
        ("response_item", call("shell", "c1", {"command": ["bash", "-lc", "pytest -q"], "workdir": "/srv/shop/api"})),
        ("response_item", output("c1", ended)),
        ("event_msg", counted(1000, 900, 600, 100)),
        ("event_msg", counted(1000, 900, 600, 100)),
        ("response_item", call("exec_command", "c2", {"cmd": "git push origin fix/queue"})),
        (
            "response_item",
            output(
                "c2",
                "Chunk ID: 1\nWall time: 1.25 seconds\nProcess exited with code 0\nOutput:\nfix/queue -> fix/queue",
            ),
        ),
        ("response_item", {"type": "custom_tool_call", "name": "apply_patch", "call_id": "c3", "input": patch}),
        (
            "response_item",
            output("c3", json.dumps({"output": "Success", "metadata": {"exit_code": 0}}), "custom_tool_call_output"),
        ),
        ("response_item", call("update_plan", "c4", {"plan": steps})),
        ("response_item", output("c4", "Plan updated")),
        ("response_item", call("shell", "c5", {"command": ["bash", "-lc", "sleep 999"]})),
        ("response_item", output("c5", "aborted by user after 3.2s")),
        ("event_msg", counted(2500, 1400, 1000, 100)),
        ("response_item", message("assistant", "Orders were lost at midnight; a queue keeps them now.")),
        ("compacted", {"message": "Orders vanished; a queue was added."}),
    ]
    return [codex_line(kind, payload, number) for number, (kind, payload) in enumerate(lines)]
