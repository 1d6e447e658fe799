"""The stage `laws` of a study: every form of one target fitted, compared and bagged, and its files."""

import json
from dataclasses import replace
from pathlib import Path

from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.fit import fit, improved
from vlmfrontier.laws.selection import Comparison, by_size, compare_forms
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.progress import Progress, Silent
from vlmfrontier.study.laws import LawsConfig


def fit_target(
    table: ResultsTable,
    target: str,
    config: LawsConfig,
    folder: Path,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Return the comparison of `config.forms`, after writing into `folder` (`laws/<target>/`):

    `<form>.json` and `.txt` (law, lmfit's report), `<form>.bag.csv` (pairs bootstrap), `<form>.wild.csv` (wild
    bootstrap, of the form with most terms only: its interval needs it), `weights.json`, `forms.csv`, `predictions.csv`.
    """
    progress = progress or Silent()
    folder.mkdir(parents=True, exist_ok=True)
    laws, bags = {}, {}
    for form in by_size(config.forms):
        progress(f"fit {form}")
        law = fit(table, form, target, config, threads)
        progress(f"bag {form}")
        bags[form] = bag(table, law, target, config, threads=threads)
        # The paper's own protocol, `scipy`, knows no such help.
        laws[form] = improved(table, law, bags[form].theta, config) if config.backend == "numba" else law
    comparison = compare_forms(table, target, config, laws, threads, progress)
    for form, fitted in laws.items():
        law = bags[form].errors_of(fitted)
        found = law.diagnostics | {"out_of_bag": bags[form].out_of_bag, "chosen": form == comparison.chosen}
        replace(law, diagnostics=found, warnings=law.warnings + comparison.warnings).save(folder / f"{form}.json")
        bags[form].save(folder / f"{form}.bag.csv")
    richest = list(laws)[-1]
    progress(f"bag {richest} with a wild bootstrap")
    bag(table, laws[richest], target, config, "wild", threads).save(folder / f"{richest}.wild.csv")
    (folder / "weights.json").write_text(json.dumps(comparison.weights, indent=2) + "\n")
    comparison.rows.to_csv(folder / "forms.csv", index=False)
    comparison.predictions.to_csv(folder / "predictions.csv", index=False, float_format="%.10g")
    progress.done()
    return comparison


def steps_of(config: LawsConfig) -> int:
    """Return how many steps `fit_target` reports."""
    return 3 * len(config.forms) + 1
