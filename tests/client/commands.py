"""A machine that is connected to a real hub, and the commands a technician types on it."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from worklore.identity.token import TokenKind
from worklore_cli import main as cli
from worklore_client.config import Config, save


@dataclass
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Technician:
    """Types commands on a machine of its own; `api` is another way to the same hub."""

    hub: Any
    home: Path
    api: httpx2.Client

    def __call__(self, *arguments: str, stdin: str = "", status: int | None = 0) -> Said:
        """Run a command in this process. With `status` None any exit code will do."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["worklore", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            patch.setenv("WORKLORE_HOME", str(self.home))
            patch.setenv("COLUMNS", "80")
            with pytest.raises(SystemExit) as end:
                cli.main()
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode())
        said = Said(int(end.value.code or 0), *texts)
        assert status is None or said.status == status, (arguments, said)
        return said

    def process(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command as the real thing."""
        environment = {**os.environ, "WORKLORE_HOME": str(self.home), "COLUMNS": "80", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "worklore_cli", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=False, env=environment, cwd=self.home)


def technician(hub: Any, home: Path) -> Technician:
    """A machine of an owner, connected."""
    save(Config(home, hub.url, hub.token(kind=TokenKind.machine), {}))
    return Technician(hub, home, hub.owner())
