"""`worklore secret run`: a program is given a secret that neither whoever starts it nor its output shows.

The secret goes from the hub into the program's environment or its standard input, and nowhere else: no file, no
argument, nothing kept. It is borrowed by a lease that is renewed while the program runs; when the hub does not renew
it, the program is ended.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, BinaryIO

from worklore_cli import nouns_hub
from worklore_cli.catalog import noun
from worklore_cli.failure import Failure
from worklore_cli.nouns_hub import Records
from worklore_client.wire import HubError, HubRefused, HubUnreachable
from worklore_redact.exact import Scrubber

LEASE_SECONDS = 60
RENEW_SECONDS = 20.0
RETRY_SECONDS = 0.5
ANSWER_SECONDS = 10.0
"""How long an answer may take: a hub that is silent for longer does not keep a lease alive."""

TERM_SECONDS = 5.0
AWAKE_SECONDS = 0.2
DRAIN_SECONDS = 2.0
"""How long an ended program's own children may still write."""

UNAVAILABLE = 69
ENDED = 77
NOT_EXECUTABLE = 126
NOT_FOUND = 127
BY_SIGNAL = 128
"""Exit codes: no hub answers; the lease was taken away; as a shell says of a program."""

PASSED_ON = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT")
BY_TERMINAL = frozenset({"SIGINT", "SIGQUIT"})
"""Signals that a terminal sends to the program itself."""

GONE = frozenset({401, 403, 404, 409, 422})
"""What a hub answers of a lease that has ended, or to a caller that has."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
READ = 65_536


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run, and how it gets which secret: in the variable `env`, or on its standard input."""

    credential: str
    field: str
    command: Sequence[str]
    purpose: str
    env: str
    stdin: bool = False

    @property
    def variable(self) -> str:
        """The variable; named as the field unless something else is asked for."""
        return self.env or self.field.upper()


def run(wish: Wish) -> int:
    """Run the program and give its exit code. Failure where there is no lease, or it was taken away."""
    if not NAME.fullmatch(wish.variable):
        raise Failure(f"{wish.variable} cannot be the name of a variable", "Use letters, digits and _", status=2)
    hub = nouns_hub.connected(ANSWER_SECONDS)
    try:
        key = hub.find(noun("credential"), wish.credential)
        lease = hub.send("POST", f"credentials/{key}/lease", body={"purpose": wish.purpose, "seconds": LEASE_SECONDS})
    except HubUnreachable as error:
        raise _no_hub(error) from None
    held = _Lease(hub, lease.body)
    try:
        return _run_with(wish, held)
    finally:
        held.release()


def _no_hub(error: HubError) -> Failure:
    return Failure(str(error), "A secret comes from the hub each time; nothing is kept here", status=UNAVAILABLE)


def _run_with(wish: Wish, held: "_Lease") -> int:
    try:
        secret = held.inject(wish.field)
    except HubUnreachable as error:
        raise _no_hub(error) from None
    own_group = sys.platform != "win32" and not sys.stdin.isatty()
    child = _started(wish, secret, own_group=own_group)
    keeper = _Keeper(held, child, own_group=own_group)
    pumps = [
        threading.Thread(target=_pump, args=(source, target, Scrubber([secret])), daemon=True)
        for source, target in ((child.stdout, sys.stdout.buffer), (child.stderr, sys.stderr.buffer))
    ]
    with _passing_signals(child, own_group=own_group):
        for thread in (*pumps, keeper):
            thread.start()
        if wish.stdin:
            assert child.stdin is not None  # noqa: S101 - asked for
            with contextlib.suppress(BrokenPipeError), child.stdin as source:
                source.write(secret.encode("utf-8", "surrogatepass") + b"\n")
        _wait(child)
        # Whoever still writes there was started by the program and may hold the secret: the lease goes on.
        while any(pump.is_alive() for pump in pumps) and not keeper.drained():
            for pump in pumps:
                pump.join(0.05)
        keeper.stop()
    if keeper.why:
        raise Failure(f"the program was ended: {keeper.why}", "Take a new lease if you still may", status=ENDED)
    return child.returncode if child.returncode >= 0 else BY_SIGNAL - child.returncode


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Wait for the program, awake often: a signal that reaches another thread waits for this one to pass it on."""
    while child.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(AWAKE_SECONDS)


def _started(wish: Wish, secret: str, *, own_group: bool) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    if not wish.stdin:
        environment[wish.variable] = secret
    try:
        return subprocess.Popen(  # noqa: S603 - what the user asked to run, without a shell
            list(wish.command),
            stdin=subprocess.PIPE if wish.stdin else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=own_group,
        )
    except FileNotFoundError:
        raise Failure(f"there is no program {wish.command[0]}", status=NOT_FOUND) from None
    except OSError as error:
        raise Failure(f"{wish.command[0]} cannot be run ({error.strerror})", status=NOT_EXECUTABLE) from None
    except ValueError:
        # Without its cause, which may hold the secret.
        raise Failure("this secret cannot stand in a variable", "Give it by --stdin", status=NOT_EXECUTABLE) from None


def _pump(source: BinaryIO | None, target: BinaryIO, scrubber: Scrubber) -> None:
    """Pass on what the program writes, without the secret. Nobody listens any more: the program is told so."""
    assert source is not None  # noqa: S101 - both are pipes
    with source:
        while part := os.read(source.fileno(), READ):
            if not _written(target, scrubber.feed(part)):
                return
        _written(target, scrubber.end())


def _written(target: BinaryIO, part: bytes) -> bool:
    try:
        target.write(part)
        target.flush()
    except BrokenPipeError:
        return False
    return True


def _signalled(child: subprocess.Popen[bytes], number: int, *, own_group: bool) -> None:
    """Send a signal to the program and, where they are a group, to what it has started."""
    with contextlib.suppress(ProcessLookupError):
        if own_group and sys.platform != "win32":
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)


@contextlib.contextmanager
def _passing_signals(child: subprocess.Popen[bytes], *, own_group: bool) -> Generator[None]:
    """Pass signals on to the program, which decides what they mean."""

    def pass_on(number: int, _: FrameType | None) -> None:
        # A terminal has told its group already, and the program is in it.
        if own_group or signal.Signals(number).name not in BY_TERMINAL:
            _signalled(child, number, own_group=own_group)

    known = [getattr(signal, name) for name in PASSED_ON if hasattr(signal, name)]
    former = {number: signal.signal(number, pass_on) for number in known}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Lease:
    """A lease as the hub tells of it. Its end is measured by this machine's own clock, from the seconds it has left."""

    def __init__(self, hub: Records, told: dict[str, Any]) -> None:
        self._hub = hub
        self._path = f"credential-leases/{told['id']}"
        self._over = False
        self.ends = time.monotonic() + float(told["seconds"])

    def inject(self, field: str) -> str:
        """The secret of a field."""
        answer = self._hub.send("POST", f"{self._path}/inject", body={"fields": [field]})
        return str(answer.body["secrets"][field])

    def renew(self) -> None:
        """Ask for further time."""
        asked = time.monotonic()
        answer = self._hub.send("POST", f"{self._path}/renew", body={"seconds": LEASE_SECONDS})
        self.ends = asked + float(answer.body["seconds"])

    def lost(self) -> None:
        """It has ended; there is nothing to give back."""
        self._over = True

    def release(self) -> None:
        """Give it back. It ends by itself where no hub hears of that."""
        if not self._over:
            with contextlib.suppress(HubError):
                self._hub.send("POST", f"{self._path}/release")


class _Keeper(threading.Thread):
    """Renews a lease while a program runs, and ends the program when that cannot be.

    Attributes:
        why: what ended the lease; empty while it lives.
    """

    def __init__(self, lease: _Lease, child: subprocess.Popen[bytes], *, own_group: bool) -> None:
        super().__init__(name="lease", daemon=True)
        self.why = ""
        self._lease = lease
        self._child = child
        self._own_group = own_group
        self._stopped = threading.Event()
        self._ended_at: float | None = None

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()

    def drained(self) -> bool:
        """True when the program was ended, and what it had started has had its time to write."""
        return self._ended_at is not None and time.monotonic() > self._ended_at + DRAIN_SECONDS

    def run(self) -> None:
        wait = self._pause()
        while not self._stopped.wait(wait):
            why = self._renewed()
            if why and not self._stopped.is_set():
                self.why = why
                self._lease.lost()
                self._end()
                return
            wait = self._pause()

    def _pause(self) -> float:
        left = self._lease.ends - time.monotonic()
        return max(RETRY_SECONDS, min(RENEW_SECONDS, left / 2))

    def _renewed(self) -> str:
        """Why the lease has ended; empty when it goes on."""
        try:
            self._lease.renew()
        except HubRefused as error:
            if error.status in GONE:
                return str(error)
            last = str(error)
        except HubError as error:
            last = str(error)
        else:
            return ""
        # Nobody says that it has ended: another try, until it has by the clock.
        return last if time.monotonic() >= self._lease.ends else ""

    def _end(self) -> None:
        _signalled(self._child, signal.SIGTERM, own_group=self._own_group)
        try:
            self._child.wait(TERM_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # What the program has started too, where that can be reached.
            self._kill()
        self._ended_at = time.monotonic()

    def _kill(self) -> None:
        if self._own_group and sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        elif self._child.poll() is None:
            self._child.kill()
