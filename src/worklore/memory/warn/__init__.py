"""Warnings before the act: what failed twice is known, and said before it is run again."""
