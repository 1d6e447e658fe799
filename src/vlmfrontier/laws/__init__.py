"""From a table of results to laws of task error: forms fitted, bagged, compared, and what they cannot tell.

In the order of reading: a user's own table is read (`user_table`) into `runs.csv`, whose rows are a `table`, which
`checks` may refuse; a form is a list of terms (`forms`); `fit` finds its best θ (by `problem`, `engine`, `kernel`,
`matrix`, or the slow `reference`) and says what the data leave open (`diagnostics`, `profile`); `bagging` resamples and
predicts unseen rows, `selection` compares forms and is the stage that the workflow runs, `ablations` vary the protocol.

from pathlib import Path
from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.user_table import read_table
from vlmfrontier.study.table import TableConfig

table = read_table(TableConfig(path="points.csv", factors={"N": "params"}, data="tokens", targets={"loss": "loss"}))
law = fit(table, form="add", target="loss")
law.predict({"N": 7.5e9, "n": [1e11, 2e11]})
low, high = law.interval({"N": 7.5e9, "n": 1e11})
law.save(Path("add.json"))
members = bag(table, law, "loss")
members.predict({"N": 7.5e9, "n": 1e11})
"""
