"""Nine compressors, pure functions by rules: less text, and how much of what mattered is still in it.

conversation, snippet, project_state, decision, score, merge, fit, tags, file_changes. None of them calls a model, reads
a clock or a database. `worklore bench compress` measures tokens and evidence kept together.
"""
