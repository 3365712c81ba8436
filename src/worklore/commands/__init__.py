"""The hub's own commands, one file for each: ``add(commands)`` says what it takes, ``run`` does it."""
