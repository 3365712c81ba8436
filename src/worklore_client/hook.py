"""The file an agent runs: ``python -I -S hook.py CLIENT_HOME AGENT EVENT``, the event as JSON on stdin.

It holds nothing but the way to `events`: a script is compiled at every start, an imported module is read from its
compiled file, which saves 3 ms of CPU where a bare interpreter takes 10.
"""

import sys

if __name__ == "__main__":
    # Isolated mode leaves the folder that holds this package off the path. It goes last: the standard library wins.
    separator = "\\" if sys.platform == "win32" else "/"
    sys.path.append(__file__.rpartition(separator)[0].rpartition(separator)[0])
    from worklore_client.events import main

    main(sys.argv)
