"""``python -m worklore_cli``: the same as the ``worklore`` command."""

from worklore_cli.main import main

main()
