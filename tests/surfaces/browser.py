"""A browser without a window, driven over pipes by the DevTools protocol, as its makers publish it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 60.0
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, which the sandbox refuses; nothing but our own page is opened
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--remote-debugging-pipe",
)


@dataclass
class Page:
    """An open page: what it asked for, and what it complained of."""

    writing: int
    reading: Any
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _session: str | None = None
    _number: int = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol, and its result; what happens meanwhile is noted."""
        self._number += 1
        sent: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            sent["sessionId"] = self._session
        os.write(self.writing, json.dumps(sent).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            self._note(told)
        assert "error" not in told, told
        return told["result"]

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.reading.read(1)) != b"\0":
            assert byte, "the browser ended"
            text += byte
        told: dict[str, Any] = json.loads(text)
        return told

    def _note(self, told: dict[str, Any]) -> None:
        about = told.get("params", {})
        match told.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(about["request"]["url"])
            case "Network.loadingFailed":
                self.errors.append(f"not loaded: {about['errorText']}")
            case "Log.entryAdded" if about["entry"]["level"] in {"error", "warning"}:
                self.errors.append(about["entry"]["text"])
            case "Runtime.consoleAPICalled" if about["type"] in {"error", "warning", "assert"}:
                self.errors.append(str([argument.get("value") for argument in about["args"]]))
            case "Runtime.exceptionThrown":
                self.errors.append(str(about["exceptionDetails"])[:500])

    def open(self, url: str) -> None:
        """Open a page in a new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What a script gives on the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def until(self, script: str) -> Any:
        """What a script gives once that is something."""
        end = time.monotonic() + SECONDS
        while not (found := self.value(script)):
            assert time.monotonic() < end, (script, self.errors)
            time.sleep(0.05)
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own."""
    assert PROGRAM, "There is no Chromium: install the package chromium."
    theirs, writing = os.pipe()
    reading, ours = os.pipe()
    # The protocol is spoken on file descriptors 3 and 4.
    script = f'exec "$0" "$@" 3<&{theirs} 4>&{ours}'
    command = ["bash", "-c", script, PROGRAM, *OPTIONS, f"--user-data-dir={folder}"]
    with (folder.parent / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command, pass_fds=(theirs, ours), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    os.close(theirs)
    os.close(ours)
    try:
        with os.fdopen(reading, "rb") as answers:
            yield Page(writing, answers)
    finally:
        os.close(writing)  # the browser leaves when nobody drives it any more
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
