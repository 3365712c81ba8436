"""What the plugin runs at an event: ``python3 -I -S worklore_hook.py EVENT``, the event as JSON on stdin.

`worklore connect` leaves in ``~/.worklore/client`` where the client is installed: its interpreter, and its hook file.
On a machine that is not connected nothing happens. Whatever goes wrong, the agent is not disturbed.
"""

import sys

AGENT = "claude-code"
OLDEST = (3, 11)
"""The client's oldest Python; an older one hands over to the client's own, which costs a second start."""


def run(event: str) -> None:
    """Run the client's hook for `event` in this process, or in its place."""
    windows = sys.platform == "win32"
    if windows:
        import nt as system

        folder = system.environ.get("WORKLORE_HOME") or system.environ.get("USERPROFILE", "") + "\\.worklore"
        separator = "\\"
    else:
        import posix as system

        environ = {key.decode(): value for key, value in system.environ.items()}
        chosen = environ.get("WORKLORE_HOME") or environ.get("HOME", b"") + b"/.worklore"
        folder = chosen.decode("utf-8", "surrogateescape")
        separator = "/"
    with open(folder + separator + "client", encoding="utf-8") as file:
        python, hook = file.read().split("\n")[:2]
    arguments = [hook, folder, AGENT, event]
    if sys.version_info < OLDEST:
        system.execv(python, [python, "-I", "-S", *arguments])
    sys.path.append(hook.rpartition(separator)[0].rpartition(separator)[0])
    from worklore_client.events import main

    main(arguments)


if __name__ == "__main__":
    try:  # noqa: SIM105 - contextlib costs more than the hook
        run(sys.argv[1])
    except Exception:  # noqa: BLE001, S110 - not connected, or the client is gone: `worklore doctor` is there to tell
        pass
