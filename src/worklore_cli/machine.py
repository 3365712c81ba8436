"""What this machine says of itself when it connects."""

import getpass
import hashlib
import os
import platform
import shutil
import socket
import uuid
from pathlib import Path
from typing import Any

from worklore_client.config import user_home

_TOOLS = """
ansible aws az claude codex curl docker dig gcloud gh git go helm jq kubectl make mariadb mysql
nmap node npm openssl podman psql pwsh python3 rsync ruby rustc sqlite3 ssh tcpdump terraform uv wg
"""


def describe_machine(name: str | None = None) -> dict[str, Any]:
    """The facts the hub keeps of a machine; `name` is what people call it (None: its host name)."""
    hostname = socket.gethostname()
    shell = os.environ.get("SHELL") or os.environ.get("COMSPEC") or ""
    return {
        "hostname": hostname,
        "machine_fingerprint": fingerprint(),
        "friendly_name": name or hostname,
        "platform": platform.system().lower(),
        "os_version": _os_version()[:100],
        "username": _user(),
        "home_directory": str(user_home()),
        "has_git": _has("git"),
        "has_docker": _has("docker") or _has("podman"),
        "has_ssh": _has("ssh"),
        "has_powershell": _has("pwsh") or _has("powershell"),
        "preferred_shell": Path(shell).name[:50] or None,
        "installed_tools": [tool for tool in _TOOLS.split() if _has(tool)],
    }


def fingerprint() -> str:
    """The same for the same user on the same machine, and telling neither: a hash of the machine's id and the home."""
    for place in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            machine = Path(place).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if machine:
            break
    else:
        machine = f"{uuid.getnode():012x}"
    return hashlib.sha256(f"worklore\n{machine}\n{user_home()}\n".encode("utf-8", "surrogateescape")).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number that no name belongs to, as containers have them
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _os_version() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def _has(tool: str) -> bool:
    return shutil.which(tool) is not None
