"""What sort of failure an output tells of, by rules in their order of precision: the first that matches names it."""

import re
from typing import Final

from worklore.memory.trail.shell import Invocation
from worklore.memory.trail.step import MAX_ERROR, bounded
from worklore.trail.failure import OperationType

LOOKED_AT: Final = 20_000
"""Characters of an output, from its end, that the rules look at."""

CATEGORIES: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for name, pattern in (
        ("interrupted", r"\[Request interrupted|interrupted by (?:the )?user|KeyboardInterrupt|^\^C"),
        ("disk_full", r"no space left on device|disk (?:is )?full|\bENOSPC\b|disk quota exceeded|not enough space"),
        ("out_of_memory", r"out of memory|OOM[- ]?kill|cannot allocate memory|heap out of memory|MemoryError"),
        ("rate_limited", r"rate.?limit|too many requests|\b429\b|throttl"),
        (
            "authentication",
            (
                r"authentication fail|permission denied \(publickey|access denied for user|invalid credentials"
                r"|\b401\b.{0,20}unauthori|unauthorized|password authentication failed|login failed"
                r"|could not read Username|bad credentials|invalid (?:api )?(?:key|token)|expired token"
            ),
        ),
        (
            "permission_denied",
            (
                r"permission denied|\bEACCES\b|\bEPERM\b|operation not permitted|access is denied"
                r"|\b403\b.{0,20}forbidden"
                r"|must be (?:run as )?root|are you root|insufficient privilege|PermissionError|UnauthorizedAccess"
            ),
        ),
        ("certificate", r"certificate (?:verify|has expired|is not)|self.signed cert|SSL(?:Error|: )|tls: |x509:"),
        (
            "name_resolution",
            (
                r"could not resolve host|name or service not known|temporary failure in name resolution|\bENOTFOUND\b"
                r"|NXDOMAIN|getaddrinfo|no such host|unknown host"
            ),
        ),
        ("connection_refused", r"connection refused|ECONNREFUSED|actively refused"),
        (
            "timeout",
            r"timed? ?out|ETIMEDOUT|deadline exceeded|TimeoutError|no response from server",
        ),
        (
            "network",
            (
                r"network is unreachable|no route to host|connection (?:was )?(?:reset|closed|aborted)|ECONNRESET"
                r"|host is unreachable|broken pipe|could not connect|can't connect|unable to connect"
            ),
        ),
        (
            "command_not_found",
            (
                r"command not found|is not recognized as (?:an|the name)|: not found$|CommandNotFoundException"
                r"|executable file not found|unknown command|no such command"
            ),
        ),
        ("port_in_use", r"address already in use|EADDRINUSE|port (?:\d+ )?is already|Only one usage of each socket"),
        ("merge_conflict", r"^CONFLICT |merge conflict|automatic merge failed|non-fast-forward|fetch first"),
        (
            "edit_mismatch",
            (
                r"string to replace not found|found \d+ matches of the string|modified since read|has not been read yet"
                r"|failed to find expected lines|old_string"
            ),
        ),
        (
            "dependency",
            (
                r"ModuleNotFoundError|ImportError|cannot find module|cannot find package|no matching distribution"
                r"|unable to locate package|unresolved import|could not find a version|missing dependenc|E404"
                r"|version conflict|dependency (?:conflict|resolution)"
            ),
        ),
        (
            "syntax",
            r"SyntaxError|parse error|syntax error|unexpected token|unexpected end of (?:file|input)|YAMLException",
        ),
        ("type_check", r"error TS\d+|\bmypy\b|type error|TypeError|incompatible type|cannot use .* as .* value"),
        (
            "test_failure",
            r"^(?:FAILED|FAIL|--- FAIL)\b|\d+ (?:tests? )?failed|Assertion(?:Error| failed)|tests? failed|failing$",
        ),
        ("lint", r"\blint(?:er|ing)?\b|eslint|golangci|ruff|flake8|shellcheck|\b[EWF]\d{3}\b"),
        (
            "build",
            (
                r"build failed|compilation (?:failed|error)|cannot compile|undefined reference|linker|make: \*\*\*"
                r"|error\[E\d+\]|undefined: |BUILD FAILURE"
            ),
        ),
        (
            "not_found",
            (
                r"no such file or directory|\bENOENT\b|does not exist|not found|cannot find|FileNotFoundError"
                r"|\b404\b|no such|pathspec .* did not match"
            ),
        ),
        (
            "usage",
            r"usage:|invalid (?:option|argument|choice)|unrecognized (?:option|argument)|unknown (?:flag|option)",
        ),
        ("database", r"sql(?:state)?\b.{0,40}error|ERROR \d{4} \(|duplicate key|relation .* does not exist|deadlock"),
        ("conflict", r"already exists|EEXIST|is locked|resource busy|lock file|could not get lock"),
        ("crash", r"segmentation fault|core dumped|panic:|Traceback \(most recent|unhandled exception|fatal error"),
    )
)
"""Name of the category and what tells it."""

EXIT_CODES: Final = {
    124: "timeout",
    126: "permission_denied",
    127: "command_not_found",
    130: "interrupted",
    137: "out_of_memory",
    139: "crash",
    143: "interrupted",
}
"""What shells say by the number alone; -9 of the kernel is nearly always its hunger for memory."""

OTHER: Final = "other"

DECLINED: Final = (
    "The user doesn't want to proceed with this tool use",
    "The user doesn't want to take this action right now",
    "Sibling tool call errored",
    "[Request interrupted by user for tool use]",
    "Permission to use ",
    "exec command rejected by user",
    "patch rejected by user",
    "rejected by user",
)
"""How an answer begins when the call was never carried out."""

_CODE: Final = re.compile(
    r"\b(E[A-Z]{4,}|ERR_[A-Z_]+|0x8[0-9A-Fa-f]{7}|SQLSTATE\[?\s?\w{5}|ORA-\d{5}|TS\d{4}|CVE-\d{4}-\d+"
    r"|HTTP/?[\d.]* [45]\d\d)\b"
)
_WRAPPED: Final = re.compile(r"\A\s*<tool_use_error>(.*)</tool_use_error>\s*\Z", re.DOTALL)

_DATABASES: Final = frozenset(
    {"psql", "mysql", "mariadb", "sqlite3", "sqlcmd", "mongosh", "redis-cli", "pg_dump", "mysqldump"}
)
_CALLERS: Final = frozenset(
    {"curl", "wget", "http", "https", "invoke-webrequest", "invoke-restmethod", "gh", "glab", "az", "aws", "gcloud"}
)
_REACHERS: Final = frozenset(
    {
        "ssh",
        "scp",
        "rsync",
        "sftp",
        "ping",
        "nc",
        "telnet",
        "dig",
        "nslookup",
        "traceroute",
        "mtr",
        "test-netconnection",
    }
)
_RESTARTERS: Final = frozenset({"systemctl", "service", "restart-service", "supervisorctl", "pm2", "rc-service"})


def category(output: str, exit_code: int | None = None) -> str:
    """The sort of failure that an output tells of; `other` where no rule knows."""
    looked_at = output[-LOOKED_AT:]
    for name, pattern in CATEGORIES:
        if pattern.search(looked_at):
            return name
    return EXIT_CODES.get(exit_code, OTHER) if exit_code is not None else OTHER


def declined(output: str) -> bool:
    """True for the answer to a call that was never carried out: a person said no, or a call beside it failed."""
    plain = unwrapped(output).lstrip()
    return plain.startswith(DECLINED)


def unwrapped(output: str) -> str:
    """An output without the mark that the agent's program puts around errors of its own."""
    found = _WRAPPED.match(output)
    return found[1] if found else output


def message(output: str) -> str:
    """What is kept of an error's text: its end above all."""
    return bounded(unwrapped(output).strip(), MAX_ERROR)


def code(output: str) -> str | None:
    """A code that names the error for whoever looks it up."""
    found = _CODE.search(output[-LOOKED_AT:])
    return found[1][:50] if found else None


def operation(found: list[Invocation]) -> OperationType | None:
    """What sort of operation a failed command was, where it is one of those that are kept as such; else None."""
    for invocation in reversed(found):
        if invocation.program in _DATABASES:
            return OperationType.database_query
        if invocation.program in _RESTARTERS:
            return OperationType.service_restart
        if invocation.program in _CALLERS:
            return OperationType.api_call
        if invocation.program in _REACHERS:
            return OperationType.network_request
    return None


def operation_of_tool(tool: str) -> OperationType:
    """The same of a tool of the agent that is no shell."""
    if tool.startswith("mcp__"):
        return OperationType.external_integration
    if tool in {"WebFetch", "WebSearch", "web_search"}:
        return OperationType.network_request
    return OperationType.file_operation
