"""``python -I -S <this package's folder> CLIENT_HOME ACTION``: what hooks leave to a detached process.

``flush`` sends what transcripts have grown by. ``said AGENT MEMBER`` first keeps what the event on standard input says,
MEMBER being what the agent calls its session's id.
"""

import os
import sys
from pathlib import Path


def main() -> None:
    """Let go of everything inherited from the agent, keep what is to be kept, then drain the spool."""
    if hasattr(os, "nice"):
        os.nice(5)
    # The folder itself is on the path when it is run; the package it is must be found instead.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from worklore_client.events import log  # noqa: PLC0415 - only now can it be found
    from worklore_client.flush import flush  # noqa: PLC0415 - same

    home, action, *more = [*sys.argv[1:], "", ""]
    if action not in {"flush", "said"} or not home:
        sys.exit("usage: python -I -S <folder of worklore_client> CLIENT_HOME flush | said AGENT MEMBER")
    # Only now: until here the lock inherited from the hook has kept other hooks from starting one of these as well.
    os.closerange(3, 256)
    try:
        if not Path(home).is_dir():
            return
        if action == "said":
            from worklore_client.said import keep  # noqa: PLC0415 - the flusher alone has no use for it

            if not keep(Path(home), *more[:2]):
                return
        flush(Path(home))
    except Exception as error:
        # Detached: nobody reads its standard error, so the log has to say that it broke.
        log(home, action, f"internal-{type(error).__name__}")
        raise


if __name__ == "__main__":
    main()
