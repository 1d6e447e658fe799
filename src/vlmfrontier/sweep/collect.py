"""From the results of the runs to `runs.csv`, where the laws start; and what is asked of its columns before that."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.laws.forms import form_for
from vlmfrontier.laws.listing import default_forms
from vlmfrontier.paths import ResultsFolder, level_name
from vlmfrontier.records import LARGEST_ERROR, LAWS_SPLIT, Measure, Runs, Variable, read_finetuned, read_result
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.differences import SHOWN, named
from vlmfrontier.sweep.outdated import Identity
from vlmfrontier.sweep.runs import Run, Test, configurations, plan_runs, tests
from vlmfrontier.tables.expressions import SafeExpression

if TYPE_CHECKING:
    import pandas as pd


TRAINED = {"T": "T_train", "V": "V_train"}
"""Columns of the levels that a model was trained at, where some are tested at others."""


def identities(study: Study, runs: Sequence[Run]) -> list[tuple[Test, dict[str, Any]]]:
    """Return every test of the runs of a study, run by run, its own T and V first, with what `runs.csv` says of it
    besides its errors.

    T, V and c are those of the test. T_train and V_train stand there only if some run of the study is tested elsewhere,
    `elastic` only if some run draws T and V.
    """
    elastic = any(run.draw for run in runs)
    elsewhere = elastic or any(run.tested for run in runs)
    rows = []
    for test in tests(study, runs):
        run = test.run
        at = {name: getattr(test if name in TRAINED else run, name) for name in study.factors()}
        how = {column: getattr(run, name) for name, column in TRAINED.items()} if elsewhere else {}
        how |= {"elastic": int(run.draw is not None)} if elastic else {}
        labels = {"run": run.key, "sweep": run.sweeps[0]}
        rows.append((test, {**labels, **at, "n": run.n, "seed": run.seed, "c": test.c, **how}))
    return rows


def check_split(study: Study, runs: Sequence[Run]) -> None:
    """Raise `UserError` if `laws.split` is no condition on the columns that `runs.csv` will have, or is misspelt.

    Errors are not known yet; 50 stands for them.
    """
    if study.laws.split is None:
        return
    expression = SafeExpression(study.laws.split, "laws.split")
    rows = [row for _, row in identities(study, runs)]
    columns = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    columns |= {name: np.full(len(rows), 50.0) for target in study.targets() for name in (target, f"{target}_se")}
    held = expression.holds(columns, [row["run"] for row in rows])
    if held.any() and not held.all():
        return
    for column, texts in expression.compared_texts().items():
        known = [str(value) for value in np.unique(columns[column])]
        for text in texts:
            if text not in known and (hint := did_you_mean(text, known)).startswith("did you mean"):
                raise UserError(f"laws.split: {study.laws.split!r} names no {column} of this study, {text!r}; {hint}")


def hopeless_forms(study: Study, runs: Sequence[Run]) -> list[str]:
    """Return a warning if the runs of the sweep are too few for some form, whose fit will be refused."""
    distinct = len(set(configurations(study, runs)))
    needed = {
        name: form_for(name, study.factors(), True, study.laws.formula_of(name)).needed
        for name in study.laws.forms or default_forms(study.factors(), True, study.laws.ceiling is not None)[:1]
    }
    if not runs or distinct >= max(needed.values()):
        return []
    forms = ", ".join(f"{name} {count}" for name, count in needed.items() if count > distinct)
    return [
        f"the sweep has {distinct} distinct configurations, and laws need more: {forms}; add runs, or name "
        "fewer laws.forms"
    ]


VARIABLES = {
    "N": Variable(name="LM size", counts="parameters"),
    "M": Variable(name="vision model size", counts="parameters"),
    "T": Variable(name="frames per video", counts="frames"),
    "V": Variable(name="visual tokens per frame", counts="tokens per frame"),
    "n": Variable(name="finetuning examples", counts="examples"),
}
"""What the paper's symbols mean, and what they count."""
SIZED = ("N", "M", "n")
"""Those whose size decides the unit that they are fitted in."""


def collect(study: Study, results: Path) -> tuple["pd.DataFrame", list[str]]:
    """Return the run table and what is left out: the keys of the runs that have no result, and the names of tests that
    are missing. Those are no row, never a made-up value.

    Columns: run, sweep, N (parameters), T, V, with several vision models M (parameters), n (examples), seed, c (FLOPs),
    where models are tested elsewhere T_train, V_train and elastic, then every target's error on 0–100 and every
    target's standard error `<target>_se`. Raises `UserError` if a result lacks a target or no run has a result.
    """
    import pandas as pd  # noqa: PLC0415 — slow, and the Snakefile, which reads the checks below, has no need of it

    rows, missing, foreign = [], [], []
    now = Identity(study, results)
    for run, tested in groupby(identities(study, plan_runs(study)), key=lambda row: row[0].run):
        folder = ResultsFolder(results).run(run.key)
        if not folder.result.exists():
            missing.append(run.key)
            continue
        result = read_result(folder.result)
        trained = read_finetuned(folder.finetuned) if folder.finetuned.exists() else None
        why = now.of_result(run, result, trained)
        foreign += [f"{folder.result}: {named(why)}"] if why else []
        for test, row in tested:
            path = folder.result if test.own else folder.tested(test.T, test.V)
            if not path.exists():
                missing.append(f"{run.key}@{level_name(test.T, test.V)}")
                continue
            measured = result if test.own else read_result(path)
            if not test.own and (why := now.of_test(run, test.T, test.V, measured, (trained or {}).get("weights"))):
                foreign.append(f"{path}: {named(why)}")
            rows.append({**row, **_errors(study.targets(), path, measured)})
    _refuse_foreign(foreign)
    if not rows:
        raise UserError(f"{results}: no run has a result yet; run `snakemake evaluate` first")
    targets = study.targets()
    errors = [*targets, *(f"{target}_se" for target in targets)]
    return pd.DataFrame(rows)[[*(name for name in rows[0] if name not in errors), *errors]], missing


def control_errors(study: Study, results: Path) -> dict[str, float]:
    """Return the mean error of the runs when they are shown the wrong video, by target; empty if nobody measured it."""
    paths = [ResultsFolder(results).run(run.key).result for run in plan_runs(study)]
    controls = [read_result(path).get("wrong_video") for path in paths if path.exists()]
    found = {
        target: [each[target]["error"] for each in controls if target in (each or {})] for target in study.targets()
    }
    return {target: float(np.mean(errors)) for target, errors in found.items() if errors and np.mean(errors) > 0}


def describe(study: Study, rows: "pd.DataFrame", control: Mapping[str, float] | None = None) -> Runs:
    """Return what `runs.json` says of the collected rows; N, M and n get a unit of 1, 1e3, 1e6 or 1e9 after their size.

    A measured error of 0 counts as half a wrong answer: of q questions, 50/q percent. `control` are the targets' errors
    with the wrong video.
    """
    units = {name: _natural_unit(rows[name].to_numpy(float)) for name in SIZED if name in rows}
    variables = {
        name: VARIABLES[name].model_copy(update={"unit": units.get(name, 1.0)}) for name in (*study.factors(), "n")
    }
    least = 50.0 / (study.evaluate.fewest_questions or study.data.digits.test)
    tasks, targets, control = study.tasks(), study.targets(), control or {}
    return Runs(
        source=f"the runs of the study {study.study}",
        about=[
            f"Every run finetunes a video language model and tests it with {len(tasks)} tasks: {', '.join(tasks)}. "
            f"Errors are on 0–100, lower is better; `{targets[-1]}` is their mean."
        ],
        file=None,
        data=variables.pop("n"),
        factors=variables,
        targets={
            name: Measure(largest=LARGEST_ERROR, least=least, chance=study.chance(name), control=control.get(name))
            for name in targets
        },
        split=LAWS_SPLIT,
        seeds=True,
        keyed=True,
        trained={name: column for name, column in TRAINED.items() if column in rows},
        elastic="elastic" in rows,
        lines=list(range(2, len(rows) + 2)),
        notes=[],
    )


def _refuse_foreign(foreign: list[str]) -> None:
    """Raise `UserError` if results belong to another configuration than the study."""
    if foreign:
        more = [f"and {len(foreign) - SHOWN} more results"] if len(foreign) > SHOWN else []
        lines = [
            *foreign[:SHOWN],
            *more,
            "run `snakemake`, which makes again what differs, or restore the configuration",
        ]
        raise UserError("results of another configuration than the study's:\n" + "\n".join(lines))


def _errors(targets: Sequence[str], path: Path, result: Mapping[str, Any]) -> dict[str, float]:
    errors = result["errors"]
    absent = [target for target in targets if target not in errors]
    if absent:
        raise UserError(f"{path}: no error of {absent[0]!r}; delete this file and run `snakemake evaluate` again")
    measured = {target: errors[target]["error"] for target in targets}
    return measured | {f"{target}_se": errors[target]["standard_error"] for target in targets}


def _natural_unit(values: np.ndarray) -> float:
    """Return the power of 1000 that brings the largest value into 1–1000."""
    return float(1000.0 ** np.floor(np.log10(values.max()) / 3 + 1e-12))
