"""``python -I -S <this package's folder> CLIENT_HOME flush``: the flusher as a detached process."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Let go of everything inherited from the agent, then drain the spool."""
    os.closerange(3, 256)
    if hasattr(os, "nice"):
        os.nice(5)
    # The folder itself is on the path when it is run; the package it is must be found instead.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from worklore_client.events import log  # noqa: PLC0415 - only now can it be found
    from worklore_client.flush import flush  # noqa: PLC0415 - same

    home, action = (*sys.argv[1:3], "", "")[:2]
    if action != "flush" or not home:
        sys.exit("usage: python -I -S <folder of worklore_client> CLIENT_HOME flush")
    try:
        if Path(home).is_dir():
            flush(Path(home))
    except Exception as error:
        # Detached: nobody reads its standard error, so the log has to say that it broke.
        log(home, "flush", f"internal-{type(error).__name__}")
        raise


if __name__ == "__main__":
    main()
