"""From laws to the frontier x*(c; n). In the order of reading: the configurations (`space`), the resampled fits that
predict over them, of one target (`pool`), the search and its table (`search`); then what is asked of them: `answers`,
`elasticity`, `tables`, `next_runs`.
"""
