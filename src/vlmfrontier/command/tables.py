"""Tables that `frontier` writes beside the frontier: exponents of x* in c, which runs differ for real, and checks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmfrontier.results import Results

MOST_SIZES = 5
"""Of more numbers of examples only some, evenly chosen, have exponents."""


def write_exponents(results: "Results") -> None:
    """Write tables/exponents: x* ∝ c^a by target, n and factor, with its interval."""
    import numpy as np
    import pandas as pd

    from vlmfrontier.frontier.tables import exponents_table
    from vlmfrontier.tables.writing import write_table

    sizes, costs = results.examples, results.run_costs[np.isfinite(results.run_costs)]
    if sizes is not None and len(sizes) > MOST_SIZES:
        sizes = sizes[np.linspace(0, len(sizes) - 1, MOST_SIZES).round().astype(int)]
    costs = costs if len(costs) else results.budgets  # of runs whose cost was not measured
    parts = {name: exponents_table(results.target(name), costs, sizes) for name in results.study.targets()}
    table = pd.concat(parts, names=["target", None]).reset_index(level="target").reset_index(drop=True)
    path = write_table(table, results.table_csv("exponents"), results.cost_unit)
    results.note(path)
    for row in table[table.target == results.main_target].dropna(subset="exponent").itertuples():
        at = "" if np.isnan(row.n) else f" at n = {row.n:g}"
        said = f"c^{row.exponent:.2f} ({row.exponent_lo:.2f} to {row.exponent_hi:.2f})"
        print(f"{results.main_target}: {row.factor}* ∝ {said}{at}")
    print(f"→ {path}")


def write_differences(results: "Results") -> None:
    """Write tables/differences: pairs of runs with the 90% interval of their difference; empty without kept answers."""
    import pandas as pd

    from vlmfrontier.frontier.differences import COLUMNS, differences_table
    from vlmfrontier.frontier.space import equal_cost_budgets
    from vlmfrontier.laws.noise import kept_noise
    from vlmfrontier.tables.writing import write_table

    costs, parts = results.run_costs, [pd.DataFrame(columns=COLUMNS)]
    budgets, tolerance = equal_cost_budgets(results.study.sweep, costs)
    for target in results.study.targets():
        noise = kept_noise(results.study, results, results.table, target)
        if noise is not None:
            parts.append(differences_table(results.table, target, noise, costs, budgets, tolerance))
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    path = write_table(table, results.table_csv("differences"), results.cost_unit)
    results.note(path)
    main = table[table.target == results.main_target]
    said = f"{int(main.real.sum())} of {len(main)} differences are real" if len(main) else "no answers of runs are kept"
    print(f"{results.main_target}: {said} → {path}")


def write_law_free(results: "Results") -> None:
    """Write tables/law_free: what runs of equal cost say without a law, beside it."""
    import pandas as pd

    from vlmfrontier.frontier.caveats import CONTRADICTS
    from vlmfrontier.frontier.law_free import law_free_table
    from vlmfrontier.progress import steps
    from vlmfrontier.tables.writing import write_table

    parts = [
        law_free_table(results.target(name), results.laws(name), results.runs, results.study.sweep)
        for name in steps("law-free check", results.study.targets())
    ]
    table = pd.concat(parts, ignore_index=True)
    path = write_table(table, results.table_csv("law_free"), results.cost_unit)
    results.note(path)
    print(f"law-free check: {(table.verdict == CONTRADICTS).sum()} of {len(table)} groups contradict the law → {path}")


def write_checkpoint(results: "Results") -> None:
    """Write tables/checkpoint: of every model that was tested at several levels the best of them for each budget."""
    import pandas as pd

    from vlmfrontier.frontier.checkpoint import checkpoint_table, few
    from vlmfrontier.laws.noise import kept_noise
    from vlmfrontier.progress import steps
    from vlmfrontier.tables.writing import write_table

    parts = []
    for name in steps("one checkpoint, many budgets", results.study.targets()):
        noise = kept_noise(results.study, results, results.table, name) if results.study.trained else None
        parts.append(checkpoint_table(results.target(name), results.checkpoints(name, noise), few(results.budgets)))
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    path = write_table(table, results.table_csv("checkpoint"), results.cost_unit)
    results.note(path)
    print(f"one checkpoint, many budgets: {table.run.nunique()} models → {path}")


def write_checks(results: "Results") -> None:
    """Write tables/checks: the checks of a reproduction."""
    from vlmfrontier.frontier.tables import checks_table, extrapolation_check, power_law_check, shift_check
    from vlmfrontier.tables.writing import write_table

    target = results.main_target
    forms = results.all_forms()
    rows = power_law_check(results.table, target, results.study.laws) + extrapolation_check(
        forms, target, results.study.laws.poor_fit
    )
    if results.cost is not None and results.examples is not None:
        rows += shift_check(results.target(target), results.middle_budget, results.examples)
    table = checks_table(rows)
    path = write_table(table, results.table_csv("checks"), results.cost_unit)
    results.note(path)
    for names, rows_of in table.groupby(["check", "form", "factor"], dropna=False, sort=False):
        print(f"{', '.join(name for name in names if isinstance(name, str))}: {rows_of.verdict.iloc[0]}")
    print(f"→ {path}")
