"""Something between client and hub that delays, garbles and breaks what passes."""

import contextlib
import socket
import threading
from collections.abc import Iterator

PIECE = 65_536
SERVER_ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/problem+json\r\nContent-Length: 33\r\n"
    b'Connection: close\r\n\r\n{"title":"Internal","status":500}'
)
RUBBISH = b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff\r\n"
GUEST_NETWORK = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 35\r\nConnection: close\r\n\r\n<html>Sign in to the network.</html>"
)
MODES = ("error", "rubbish", "html", "closed", "cut", "slow")


class Proxy:
    """A TCP proxy to a port of this machine.

    `mode` is ``pass``, or one of `MODES`: ``slow`` holds each request for `delay` seconds, ``error``, ``rubbish`` and
    ``html`` answer themselves, ``closed`` hangs up, and ``cut`` lets the hub do its work and loses its answer.
    """

    def __init__(self, port: int, delay: float = 10.0) -> None:
        self._hub = port
        self.delay = delay
        self.mode = "pass"
        self.released = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        accepting = threading.Thread(target=self._accept, daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            self.released.set()
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            accepting.join()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return  # closed: the test is over
            self.requests += 1
            threading.Thread(target=self._serve, args=(link, self.mode), daemon=True).start()

    def _serve(self, link: socket.socket, mode: str) -> None:
        with link, contextlib.suppress(OSError):  # either side may be killed at any time
            if mode == "closed":
                return
            own = {"error": SERVER_ERROR, "rubbish": RUBBISH, "html": GUEST_NETWORK}.get(mode)
            if own is not None:
                link.settimeout(2)
                link.recv(PIECE)
                link.sendall(own)
                link.shutdown(socket.SHUT_WR)
                while link.recv(PIECE):
                    pass
                return
            if mode == "slow":
                self.released.wait(self.delay)
            with socket.create_connection(("127.0.0.1", self._hub)) as hub:
                there = threading.Thread(target=_pump, args=(link, hub), daemon=True)
                there.start()
                while piece := hub.recv(PIECE):
                    if mode != "cut":
                        link.sendall(piece)
                    elif b"\r\n\r\n" in piece:
                        break  # the hub has answered, so it has committed
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            there.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
