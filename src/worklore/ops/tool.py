"""The programs of a database server that write and read dumps: found, given the password out of sight, and watched."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import IO, Final, cast

from sqlalchemy.engine import URL

from worklore.kernel.errors import UnavailableError

Process = subprocess.Popen[bytes]

PIECE: Final = 1 << 20
PACKAGES: Final = {
    "pg_dump": "postgresql-client",
    "pg_restore": "postgresql-client",
    "mariadb-dump": "mariadb-client",
    "mariadb": "mariadb-client",
}
"""The package of each program, as Debian and its kin name it."""

_PG: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
_MARIADB: Final = {"unix_socket": "socket", "ssl_ca": "ssl-ca", "ssl_cert": "ssl-cert", "ssl_key": "ssl-key"}


def postgres_environment(url: URL) -> dict[str, str]:
    """The environment that connects PostgreSQL's programs: no argument names the password."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    given: dict[str, object] = {"PGHOST": url.host, "PGPORT": url.port}
    given |= {"PGUSER": url.username, "PGPASSWORD": url.password}
    given |= {name: url.query.get(key) for key, name in _PG.items() if key in url.query}
    return {**kept, **{name: str(value) for name, value in given.items() if value is not None}}


@contextmanager
def mariadb_options(url: URL) -> Generator[list[str]]:
    """The arguments that connect MariaDB's programs: a file of options, 0600, while they run."""
    given: dict[str, object] = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    given |= {name: url.query.get(key) for key, name in _MARIADB.items() if key in url.query}
    with tempfile.NamedTemporaryFile("w", prefix="worklore-", suffix=".cnf") as file:  # made 0600
        file.write("[client]\ndefault-character-set=utf8mb4\n")
        for name, value in given.items():
            if value is not None:
                quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
                file.write(f'{name}="{quoted}"\n')
        file.flush()
        yield [f"--defaults-file={file.name}"]


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str] | None, *, stdin: int, stdout: int
) -> Generator[Process]:
    """A program that runs; killed if the block fails.

    Raises:
        UnavailableError: it is not installed, or failed; its last lines are in the text.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen([*command], env=environment, stdin=stdin, stdout=stdout, stderr=said)  # noqa: S603 - no shell
        except FileNotFoundError as error:
            raise UnavailableError(
                f"The program {command[0]} is not installed here.",
                hint=f"Install the package {PACKAGES[command[0]]}, of the server's version or newer.",
                code="tool-missing",
            ) from error
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-3:]
            raise UnavailableError(
                f"{command[0]} failed: {' | '.join(last) or f'exit code {process.returncode}'}",
                hint="See that its version fits the server's, and that this user may do it.",
                code="tool-failed",
            )


def pour(command: Sequence[str], environment: Mapping[str, str] | None, sink: Callable[[bytes], object]) -> None:
    """Hand what a program prints to a sink, as it comes."""
    with _started(command, environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        while piece := cast("BufferedReader", process.stdout).read1(PIECE):
            sink(piece)


def feed(command: Sequence[str], environment: Mapping[str, str] | None, source: Iterable[bytes]) -> None:
    """Hand a program all of a source on its standard input."""
    with _started(command, environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        into = cast("IO[bytes]", process.stdin)
        try:
            for piece in source:
                into.write(piece)
            into.flush()
        except BrokenPipeError:  # it has ended before the source: its exit code says why
            with suppress(BrokenPipeError):
                into.close()
