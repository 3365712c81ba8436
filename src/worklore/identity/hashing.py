"""Hashing of passwords, aside: on few threads that give way to all else the hub does.

A hash takes a core for tens of milliseconds and 19 MiB. Somebody who tries passwords makes the hub hash without end; on
threads like all others each hash would stand in the way of every request.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

AT_ONCE: Final = 4
"""Memory is what an attacker would exhaust."""

NICENESS: Final = 15

T = TypeVar("T")
log = structlog.get_logger()


def _give_way() -> None:
    if sys.platform != "linux":
        return  # elsewhere the priority would be that of the whole process
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except OSError as error:  # a sandbox may forbid it
        log.info("hashing of passwords cannot give way", error=str(error))


_THREADS: Final = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hash", initializer=_give_way)


def aside(work: Callable[..., T], *arguments: object) -> T:
    """The result of ``work``; waits when as many as may are at work."""
    return _THREADS.submit(work, *arguments).result()
