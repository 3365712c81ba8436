"""Planted secrets: through every way in, and looked for everywhere afterwards. `make canaries` is the long form."""
