"""Taking secrets out of texts and bytes: of the standard library alone, for the hub, the client and the command line.

Two ways, each in modules of its own, none of which is imported before it is asked for:

- :mod:`worklore_redact.exact` takes out secrets that are known, in every form that programs bring them into.
- :mod:`worklore_redact.engine` finds secrets that nobody has told it, by rules that are data: ``rules/*.toml``.
"""
