"""What a hook costs the agent: CPU as a multiple of a bare interpreter's start, and the time the agent waits.

Every round runs ``python -I -S -c pass`` and each hook once, in turn, so that a busy moment hits all of them alike. CPU
is user and system time of the process from `wait4`; the detached flusher is not part of it and has ended before the
next measurement begins. The hub is a real one on an SQLite file of its own.

Https stands apart, outside the goal: loading Python's TLS costs more than the rest of the hook. It is measured against
a responder in this process, so only its CPU is told.
"""

import argparse
import datetime as dt
import ipaddress
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worklore_cli.hub_process import temporary_hub
from worklore_cli.machine import describe_machine
from worklore_cli.replaying import percentiles
from worklore_client import hook_entries
from worklore_client.adapters import BY_NAME
from worklore_client.config import Config, save
from worklore_client.spool import flusher_lock, note_files
from worklore_client.wire import Hub

AGENT = BY_NAME["claude-code"]
BARE = "bare interpreter"
GOAL = 2.0
COMMAND = "ssh srv-01.example.com 'systemctl restart nginx'"
PROMPT = "The tunnel to the branch office drops again since the firmware update. What did we change last time?"


@contextmanager
def connected_home() -> Iterator[Path]:
    """A client's home that is connected to a hub of its own."""
    with tempfile.TemporaryDirectory(prefix="worklore-bench-") as place, temporary_hub(Path(place)) as hub:
        machine = describe_machine("bench")
        answer = Hub(hub.url).post("auth/setup", {"code": hub.setup_code, "machine": machine})
        home = Path(place) / "home"
        save(
            Config(
                home,
                hub.url,
                answer["token"],
                {"linger_ms": "0", "prompt_ms": "5000", "start_ms": "5000", "tool_ms": "5000"},
            )
        )
        project = Path(place) / "network"
        (project / ".git").mkdir(parents=True)
        (project / ".git" / "config").write_text('[remote "origin"]\n\turl = https://git.example.com/msp/network.git\n')
        yield home


class Responder(BaseHTTPRequestHandler):
    """Answers every POST with an empty object."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key, as one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    signed = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    pem = serialization.Encoding.PEM
    path = folder / "bench.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + signed.public_bytes(pem))
    return path


@contextmanager
def secure_home(folder: Path) -> Iterator[Path]:
    """A client's home that is connected to a responder by https."""
    pem = certificate(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Responder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        home = folder / "home-https"
        url = f"https://127.0.0.1:{server.server_port}"
        save(Config(home, url, "wl_bench", {"ca_file": str(pem), "prompt_ms": "5000", "start_ms": "5000"}))
        yield home
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def commands(home: Path) -> dict[str, tuple[list[str], bytes]]:
    """What is measured: the command and its standard input."""
    project = home.parent / "network"
    transcript = home.parent / "none.jsonl"
    about = {
        "session_id": "bench",
        "transcript_path": str(transcript),
        "cwd": str(project),
        "permission_mode": "default",
    }
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    measured = {BARE: (bare, b"")}
    for event in AGENT.events:
        stdin = {**about, "hook_event_name": event.name, "prompt": PROMPT, "source": "startup", "trigger": "auto"}
        stdin |= {"tool_name": "Bash", "tool_input": {"command": COMMAND}}
        measured[event.name] = (hook_entries.command(AGENT, event, home), json.dumps(stdin).encode())
    return measured


def measure(command: list[str], stdin: bytes, folder: Path) -> tuple[float, float]:
    """(CPU, wall) of one run in milliseconds."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000, wall * 1000


def settle(home: Path) -> None:
    """Wait until the flusher that a hook started has ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not note_files(home):
            with flusher_lock(home) as free:
                if free:
                    return
        time.sleep(0.005)
    raise RuntimeError("the flusher does not come to an end")


def measured_https(rounds: int) -> dict[str, Any]:
    """The prompt's hook over https: see `Spent.figures`."""
    with tempfile.TemporaryDirectory(prefix="worklore-bench-") as place, secure_home(Path(place)) as home:
        project = Path(place) / "network"
        project.mkdir()
        both = {name: command for name, command in commands(home).items() if name in {BARE, "UserPromptSubmit"}}
        spent = Spent()
        for _ in range(rounds):
            for name, (command, stdin) in both.items():
                spent.add(name, measure(command, stdin, project))
        if (home / "hook.log").exists():
            raise RuntimeError((home / "hook.log").read_text())
    return spent.figures()["UserPromptSubmit"]


class Spent:
    """What each of several commands took, in milliseconds of CPU and by the clock."""

    def __init__(self) -> None:
        self._cpu: dict[str, list[float]] = {}
        self._wall: dict[str, list[float]] = {}

    def add(self, name: str, took: tuple[float, float]) -> None:
        """One run of a command."""
        self._cpu.setdefault(name, []).append(took[0])
        self._wall.setdefault(name, []).append(took[1])

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of each: the median CPU, that as a multiple of the bare interpreter's, and percentiles by the clock."""
        bare = statistics.median(self._cpu[BARE])
        return {
            name: {
                "cpu_ms": round(statistics.median(cpu), 2),
                "multiple": round(statistics.median(cpu) / bare, 2),
                "wall_ms": percentiles(self._wall[name]),
            }
            for name, cpu in self._cpu.items()
        }


def run(*, rounds: int = 60) -> dict[str, Any]:
    """The figures: for each event CPU in milliseconds and as a multiple, wall p50 and p95, and what failed silently."""
    with connected_home() as home:
        measured = commands(home)
        spent = Spent()
        for number in range(rounds + 2):
            for name, (command, stdin) in measured.items():
                took = measure(command, stdin, home.parent / "network")
                settle(home)
                if number >= 2:  # the first rounds compile and fill caches
                    spent.add(name, took)
        log = home / "hook.log"
        silent = [line for line in log.read_text().splitlines() if " flush " not in line] if log.exists() else []
    results = spent.figures()
    holds = not silent and all(result["multiple"] <= GOAL for result in results.values())
    figures = {"rounds": rounds, "goal": GOAL, "holds": holds, "silent_failures": silent[-5:], "results": results}
    return {**figures, "https": measured_https(max(rounds // 2, 3))}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'hook':20}{'CPU ms':>8}{'multiple':>10}{'wall p50':>10}{'p95':>8}"]
    for name, result in [*figures["results"].items(), ("prompt over https", figures["https"])]:
        wall = result["wall_ms"]
        lines.append(
            f"{name:20}{result['cpu_ms']:>8.2f}{result['multiple']:>10.2f}{wall['p50']:>10.1f}{wall['p95']:>8.1f}"
        )
    lines[-1] += "   (apart from the goal)"
    lines.append(f"goal: a multiple of at most {figures['goal']:g}; {'held' if figures['holds'] else 'NOT held'}")
    lines += [f"gave up in silence: {line}" for line in figures["silent_failures"]]
    return "\n".join(lines)


def main() -> None:
    """Run it alone: `python -m benchmarks.hooks --rounds 60`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = run(rounds=arguments.rounds)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
