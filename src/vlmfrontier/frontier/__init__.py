"""From laws to the frontier x*(c; n). In the order of reading: the configurations (`space`), the models that speak over
them (`pool`), one target with its laws (`target`), the search and its table (`search`), all of a study's results
(`load`); then what is asked of them: `answers`, `elasticity`, `regret`, `checks`, `next_runs`.
"""
