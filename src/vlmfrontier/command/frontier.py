"""From the laws to the frontier: `frontier` with its tables, and `next`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vlmfrontier import command_line
from vlmfrontier.command.tables import (
    write_checkpoint,
    write_checks,
    write_differences,
    write_exponents,
    write_law_free,
)
from vlmfrontier.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from vlmfrontier.frontier.pool import Target
    from vlmfrontier.frontier.tables import Rule
    from vlmfrontier.results import Results
    from vlmfrontier.study.root import Study

LEAST_NOISE = 1e-6
"""Errors that follow a law exactly have none, and would leave nothing to weigh models by."""


def frontier_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--tables", nargs="+", choices=WRITERS, metavar="TABLE", help="default: all that it can have")
    command_line.target_argument(choice, "search for these alone, and write no other table", nargs="+")


def frontier(given: Namespace) -> None:
    """Search the compute-optimal frontier and write its tables: vlmfrontier frontier --study digits [--target avg]

    Writes, as far as the study has what they need; tables/ each as .csv, .md and .tex:
      frontier       frontier/<target>.csv, of every target a row per number of examples and budget
      elasticity     tables/elasticity: how x* moves with n, by target and factor, with its band; elasticity_ablation
                     likewise: the main target under other settings of the average
      regret         tables/regret: points of error that the main target loses, on average over the budgets, when one
                     factor is scaled alone, when LLaVA-Video's default is scaled down, and when the frontier of another
                     target or of another number of examples is followed
      vision_share   tables/vision_share: the vision model's share of c(x) for every language model and every number of
                     tokens that could be deployed, at the frames that most runs have (the paper's Figure 6)
      law_free       tables/law_free: by target, number of examples and budget with three measured rivals of equal cost
                     the best of them and an estimate without a law, beside x*, with a verdict
      next_runs      next_runs.csv, as `vlmfrontier next` does
      next_sweep     next_runs.yaml, a sweep of next_runs.csv, as `vlmfrontier next --sweep` does
      checks         tables/checks: the power law along each factor alone, the extrapolation to unseen runs (out of
                     tables/forms.csv), and x* at the middle budget against n with its direction
      exponents      tables/exponents: a of x* ∝ c^a, by target, n and factor, with its 90% interval
      differences    tables/differences: pairs of runs of equal cost, or neighbours along a factor, with the 90%
                     interval of their difference on the test videos that they share, and whether it is real
      checkpoint     tables/checkpoint: of models that were tested at several T and V, the best of these by budget, and
                     what retraining would gain
    """
    from vlmfrontier.results import Results
    from vlmfrontier.workflow import frontier_tables

    results = Results.open(given.study)
    if given.target:
        _write_frontier(results, given.target)
        return
    for name in given.tables or frontier_tables(results.study):
        WRITERS[name](results)


def _write_frontier(results: "Results", targets: Sequence[str] = ()) -> None:
    from vlmfrontier.frontier.search import frontier_table
    from vlmfrontier.progress import steps
    from vlmfrontier.tables.writing import write_csv

    for target in steps("frontier", targets or results.study.targets()):
        table = frontier_table(results.target(target), results.budgets, results.examples, results.config.near)
        path = write_csv(table, results.frontier_csv(target))
        results.note(path)
        print(f"target {target}: {len(table)} rows → {path}")


def _write_elasticity(results: "Results") -> None:
    import numpy as np
    import pandas as pd

    from vlmfrontier.frontier.elasticity import ablation_table, elasticity_table
    from vlmfrontier.progress import steps
    from vlmfrontier.tables.writing import write_table

    grid, main = results.elasticity_grid, results.main_target
    parts = {
        name: elasticity_table(results.target(name), grid) for name in steps("elasticity", results.study.targets())
    }
    table = pd.concat(parts, names=["target", None]).reset_index(level="target").reset_index(drop=True)
    path = write_table(table, results.table_csv("elasticity"))
    results.note(path)
    ablation = ablation_table(results.target(main), grid, float(np.max(results.table.data)))
    write_table(ablation.assign(target=main), results.table_csv("elasticity_ablation"))
    for row in table[table.target == main].itertuples():
        print(f"{main}: {row.factor}* {row.direction} (e = {row.e_median:+.2f}, {row.e_lo:+.2f} to {row.e_hi:+.2f})")
    print(f"→ {path}")


def _write_regret(results: "Results") -> None:
    from vlmfrontier.frontier.tables import regret_table, summary
    from vlmfrontier.tables.writing import write_table

    target = results.target(results.main_target)
    table = regret_table(target, results.budgets, results.examples, _rules(results, target))
    path = write_table(summary(table), results.table_csv("regret"))
    results.note(path)
    print(f"target {target.name}: {table.rule.nunique()} rules → {path}")


def _rules(results: "Results", target: "Target") -> "dict[str, Rule]":
    """Return every rule that the study's results allow."""
    from vlmfrontier.frontier.tables import llava_rule, scaling_rules
    from vlmfrontier.units import format_count

    found = scaling_rules(results.space, results.center) | llava_rule(results.space, results.center)
    middle = None if results.examples is None else float(results.examples[len(results.examples) // 2])
    for other in results.study.targets():
        if other != target.name:
            found[f"frontier of {other}"] = _followed(results.target(other), middle)
    if results.examples is not None and len(results.examples) > 1:
        for n in (results.examples[0], results.examples[-1]):
            found[f"frontier at n = {format_count(n)}"] = _followed(target, float(n))
    return found


def _followed(target: "Target", examples: float | None) -> "Rule":
    """Return the rule that follows a target's frontier at one number of examples."""
    import numpy as np

    from vlmfrontier.frontier.search import pooled_errors
    from vlmfrontier.frontier.tables import frontier_rule

    n = target.ensemble.pool.data_unit if examples is None else examples
    return frontier_rule(target.space, pooled_errors(target.ensemble.pool, np.array([n]))[0])


def _write_vision_share(results: "Results") -> None:
    from vlmfrontier.tables.writing import write_table

    table = results.vision_shares
    path = write_table(table, results.table_csv("vision_share"))
    results.note(path)
    print(f"vision model's share of c: {table.share.min():.0%} to {table.share.max():.0%} → {path}")


def next_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument("--count", type=int, help="how many runs (default: the study's frontier.next_runs)")
    command_line.target_argument(parser, "whose frontier to make surer (default: avg, or the first target)")
    parser.add_argument("--sweep", action="store_true", help="also write next_runs.yaml, which snakemake runs")


def next(given: Namespace) -> None:
    """Suggest the next runs: vlmfrontier next --study digits [--count 5] [--target avg] [--sweep]

    Writes results/<study>/next_runs.csv, a row per run, the most informative for its cost first; no row where every
    rival of the frontier has been run. With --sweep also next_runs.yaml beside it, which the workflow runs as it is:
      snakemake --configfile config.yaml results/<study>/next_runs.yaml
    Suggestions that the study already has in its design `next` stay in that file: a second round adds to the first.
    """
    from vlmfrontier.results import Results

    results = Results.open(given.study)
    _write_next_runs(results, given.count, given.target)
    if given.sweep:
        _write_next_sweep(results)


def _write_next_runs(results: "Results", count: int | None = None, target_name: str | None = None) -> None:
    from vlmfrontier.tables.writing import write_csv
    from vlmfrontier.units import format_count, format_number

    if results.table.data is None:
        raise UserError("next runs: the table has no data size; name its column in table.data")
    count = results.config.next_runs if count is None else count
    if count < 1:
        raise UserError(f"{count} runs: ask for at least one")
    target = results.target(target_name or results.main_target)
    table = _suggestions(results, target, count)
    path = write_csv(table, results.next_runs_csv)
    results.note(path)
    for row in table.itertuples():
        x = ", ".join(f"{factor} = {format_count(getattr(row, factor))}" for factor in target.space.factors)
        regret = f"expected regret {row.regret_before:.3g} → {row.regret_after:.3g} points"
        tests = f" and {format_number(row.testing_cost)} to test {row.points} points" if "points" in table else ""
        print(
            f"{x}, n = {format_count(row.n)}: {regret}, {format_number(row.training_cost)} {results.space.unit}{tests}"
        )
    print(f"→ {path}")


def _suggestions(results: "Results", target: "Target", count: int) -> "pd.DataFrame":
    """Return the suggested runs; no row if nothing is left to run, and then say so."""
    import numpy as np
    import pandas as pd

    from vlmfrontier.frontier.candidates import Treatment, candidates_of
    from vlmfrontier.frontier.next_runs import COLUMNS, suggest, with_gap
    from vlmfrontier.progress import Progress

    laws, seed = results.laws(target.name), results.study.laws.seed
    target, gap = with_gap(target, laws, results.table, seed)
    runs = results.runs if results.table.elastic is None else results.runs.assign(elastic=results.table.elastic)
    testing = Treatment.of(results.study, results.root)
    try:
        candidates = candidates_of(target, runs, results.budgets, np.unique(results.table.data), testing)
    except UserError as nothing:
        print(nothing)
        return pd.DataFrame(columns=[*target.space.factors, *COLUMNS])
    progress = Progress("next runs", count)
    noise = _noise(results, target.name)
    table = suggest(target, candidates, results.budgets, results.examples, noise, count, progress, gap)
    progress.done()
    return table


def _noise(results: "Results", target: str) -> float:
    """Return the relative error of the chosen form on runs it has not seen: the noise a new run would have."""
    import numpy as np

    from vlmfrontier.records import again

    forms = results.forms(target)
    chosen = forms[(forms.setup == "cv") & forms.chosen]
    if chosen.empty:
        path = results.laws_folder(target).forms
        raise UserError(f"{path}: damaged: no predictions of runs left out of the fit; {again('laws')}")
    chosen = chosen.iloc[0]
    return max(float(np.sqrt(chosen.mse) / np.nanmean(results.table.error(target))), LEAST_NOISE)


def _write_next_sweep(results: "Results") -> None:
    import yaml

    study, path = results.study, results.next_runs_csv
    if not study.trained:
        raise UserError("an own table trains nothing: next_runs.csv lists what would be worth a run")
    if not path.exists():
        raise UserError(f"{path}: no such file; call vlmfrontier next first")
    rows = rows_of(results.made_table(path, [*study.factors(), "n"]), study)
    design = next_design(study, rows)
    results.next_runs_yaml.write_text(yaml.safe_dump({"sweep": {"designs": design}} if design else {}, sort_keys=False))
    print(f"→ {results.next_runs_yaml}")


def next_design(study: "Study", rows: Sequence[dict]) -> dict[str, dict]:
    """Return the design of suggested runs, after earlier ones that the study has taken up; empty if there are none. It
    says where they are tested, if that is not where all runs are."""
    from vlmfrontier.study.sweep import NEXT, RowsDesign
    from vlmfrontier.sweep.points import next_levels, resolved

    before = study.sweep.designs.get(NEXT)
    if before is None:
        also = next_levels(study)
        own = {} if also == resolved(study, study.evaluate.also) else {"also": also.model_dump(exclude_none=True)}
        return {NEXT: {"design": "rows", **own, "rows": list(rows)}} if rows else {}
    if not isinstance(before, RowsDesign) or before.file is not None:
        raise UserError(f"sweep.designs.{NEXT}: suggested runs need this name; give the design another")
    kept = before.model_dump(exclude_none=True, exclude_defaults=True)
    earlier = [row.model_dump(exclude_none=True) for row in before.rows]
    return {NEXT: {**kept, "design": "rows", "rows": [*earlier, *rows]}}


def rows_of(table: "pd.DataFrame", study: "Study") -> list[dict]:
    """Return the suggestions as rows of a design, language models and vision models by their names."""
    from vlmfrontier.frontier.space import named_levels

    models = named_levels(study.models)
    return [
        {name: _nearest(value, models[name]) if name in models else int(value) for name, value in row.items()}
        for row in table[[*study.factors(), "n"]].to_dict("records")
    ]


def _nearest(size: float, models: Mapping[str, float]) -> str:
    """Return the model of a size; the nearest, since a table rounds those of more than ten digits."""
    return min(models, key=lambda name: abs(models[name] - size))


WRITERS: "dict[str, Callable[[Results], None]]" = {
    "frontier": _write_frontier,
    "elasticity": _write_elasticity,
    "regret": _write_regret,
    "vision_share": _write_vision_share,
    "law_free": write_law_free,
    "next_runs": _write_next_runs,
    "next_sweep": _write_next_sweep,
    "checks": write_checks,
    "exponents": write_exponents,
    "differences": write_differences,
    "checkpoint": write_checkpoint,
}
