"""What one study recommends, and two side by side: `query` and `compare`."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vlmfrontier import command_line
from vlmfrontier.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from vlmfrontier.frontier.pairing import Both, Optimum, Pairs
    from vlmfrontier.frontier.pool import Target
    from vlmfrontier.results import Results

BUDGETS = 5
"""Budgets at which x* is compared by default, evenly in their logarithm over what both studies answer for."""
SHOWN = 5
"""Pairs of runs, those that differ most, that are shown."""


def query_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument("--budget", nargs="+", metavar="C", help="largest cost per video, for example 100M")
    parser.add_argument("--checkpoint", metavar="RUN", help="ask for this trained run alone, at one or more budgets")
    parser.add_argument("--examples", help="number of finetuning examples, for example 500")
    command_line.target_argument(parser, "what to optimise for (default: avg, or the first target)", "--task")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def query(given: Namespace) -> None:
    """Say what to deploy: vlmfrontier query --study digits --budget 100M --examples 500 [--target order] [--json]

    Budget and examples take human units: 10T, 250k. Prints the recommended configuration with its predicted error and
    how far the resampled fits agree, what was measured of it, the best run within the budget, caveats, the next best
    configurations, what twice the budget or the data would buy, and the nearest runs.

    With --checkpoint RUN the answer is for that trained run (a key of runs.csv) alone, at each --budget, or at a few of
    the study's: the best of the T and V at which it was tested, and what retraining would gain.
    """
    from vlmfrontier.frontier.sentences import text
    from vlmfrontier.results import Results
    from vlmfrontier.units import parse_number

    if given.checkpoint:
        _query_checkpoint(given)
        return
    budget = _one_budget(given.budget)
    results = Results.open(given.study)
    examples = None if given.examples is None else parse_number(given.examples)
    found = results.answer(given.target or results.main_target, budget, examples)
    print(json.dumps(found.record(), indent=2) if given.json else text(found))


def _one_budget(given: Sequence[str] | None) -> float:
    """Return the budget of a question that is about one."""
    from vlmfrontier.units import parse_number

    if not given:
        raise UserError("the following arguments are required: --budget; see vlmfrontier query --help")
    if len(given) > 1:
        raise UserError("--budget: several budgets need --checkpoint RUN; give one budget")
    return parse_number(given[0])


def _query_checkpoint(given: Namespace) -> None:
    """Print at which T and V one trained run is best used within each budget."""
    from vlmfrontier.frontier.checkpoint import checkpoint_table, few, of_run
    from vlmfrontier.frontier.sentences import checkpoint_text
    from vlmfrontier.laws.noise import kept_noise
    from vlmfrontier.results import Results
    from vlmfrontier.units import parse_number

    if given.examples is not None:
        raise UserError("--examples: a trained run has its own n; leave it out with --checkpoint")
    results = Results.open(given.study)
    if "run" not in results.table.frame:
        raise UserError(
            "--checkpoint: the rows of your own table have no run keys; tables/checkpoint.csv lists its models"
        )
    if results.cost is None:
        raise UserError("--checkpoint: the study has no cost, so no budget applies; write `cost` in the study")
    name = given.target or results.main_target
    target = results.target(name)
    tests = results.table.rows((results.table.frame["run"] == given.checkpoint).to_numpy())
    noise = kept_noise(results.study, results, tests, name)
    one = of_run(results.checkpoints(name, noise), given.checkpoint)
    asked = sorted(map(parse_number, given.budget)) if given.budget else few(results.budgets)
    table = checkpoint_table(target, [one], asked)
    if given.json:
        about = {"run": one.run, "target": name, "unit": results.cost_unit, "trained": one.trained}
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({**about, "elastic": one.elastic, "tests": len(one.error), "budgets": rows}, indent=2))
        return
    print(checkpoint_text(one, table, target, asked))


def compare_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("studies", nargs=2, type=command_line.study_file, metavar="STUDY", help="name, or folder")
    parser.add_argument("--target", "--task", help="what to compare (default: avg, or the first target of both)")
    parser.add_argument("--budgets", nargs="+", metavar="C", help="default: five that both studies answer for")
    parser.add_argument("--examples", nargs="+", metavar="n", help="default: the largest that both studies answer for")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def compare(given: Namespace) -> None:
    """Compare two studies: vlmfrontier compare digits digits-longer [--target order] [--budgets 100M 200M] [--json]

    Prints what differs in their configurations; of the runs that both have (same factors, n and seed) the mean
    difference of their errors with its standard error, and those that differ most; and what that does to the
    recommendation at common budgets: x* of both with intervals, and what each says of the other's choice.
    (The tables that compare forms of laws are written by vlmfrontier law-tables.)
    """
    from vlmfrontier.frontier.pairing import pair
    from vlmfrontier.results import Results

    first, second = (Results.open(file) for file in given.studies)
    target = given.target or _common_target(first, second)
    _check(first, second, target)
    configuration = _configuration(first, second)
    pairs = pair(_runs(first, target), _runs(second, target))
    try:
        targets = [] if None in (first.cost, second.cost) else [one.target(target) for one in (first, second)]
        lacking = ""
    except UserError as error:
        targets, lacking = [], str(error)
    optima = list(_optima(first, second, targets, given)) if targets else []
    if given.json:
        rows = pairs.rows.to_dict("records")
        runs = {"pairs": rows, "alone": pairs.alone, "mean": pairs.mean}
        record = {"target": target, "configuration": configuration, "runs": runs}
        print(json.dumps({**record, "optima": [one.record() for one in optima]}, indent=2, default=float))
        return
    names = _names(first, second)
    print(f"A: {names[0]}\nB: {names[1]}\ncompared: {first.record.error_name(target)}\n")
    print("Configuration:", *(configuration or ["  no difference"]), sep="\n")
    print("\nRuns:", *_of_pairs(pairs), sep="\n")
    print("\nRecommendations:", *([f"  {lacking}"] if lacking else _of_optima(optima, first, second, target)), sep="\n")


def _names(first: "Results", second: "Results") -> tuple[str, str]:
    names = first.study.study, second.study.study
    return names if names[0] != names[1] else (str(first.root), str(second.root))


def _common_target(first: "Results", second: "Results") -> str:
    common = [name for name in first.study.targets() if name in second.study.targets()]
    if not common:
        raise UserError(
            f"the studies have no target in common ({', '.join(first.study.targets())} and "
            f"{', '.join(second.study.targets())}), so nothing can be compared"
        )
    return first.main_target if first.main_target in common else common[0]


def _check(first: "Results", second: "Results", target: str) -> None:
    """Raise `UserError` where there is nothing to compare."""
    for results in (first, second):
        if target not in results.study.targets():
            known = ", ".join(results.study.targets())
            raise UserError(f"study {results.study.study} has no target {target!r}; its targets are {known}")
    varied = [sorted(results.table.points()) for results in (first, second)]
    if varied[0] != varied[1]:
        names = " and ".join(", ".join(factors) for factors in varied)
        raise UserError(f"the studies vary different factors: {names}; compare studies with the same factors")


def _configuration(first: "Results", second: "Results") -> list[str]:
    from vlmfrontier.sweep.differences import changes

    plain = [results.study.model_dump(mode="json", by_alias=True, exclude={"study"}) for results in (first, second)]
    return [f"  {key}: {a} in A, {b} in B" for key, a, b in changes(*plain)]


def _runs(results: "Results", target: str) -> "pd.DataFrame":
    """Return the levels of every run (factors, n, seed, and what its model was trained at), its error and `se`."""
    import numpy as np
    import pandas as pd

    table = results.table
    trained = {f"{name}_train": levels for name, levels in table.trained.items()}
    seeds = {"seed": table.frame["seed"].to_numpy()} if "seed" in table.frame else {}
    se = table.se[target]
    values = {"error": table.error(target), "se": np.full(len(table), np.nan) if se is None else se}
    return pd.DataFrame({**table.points(), **trained, **seeds, **values})


def _of_pairs(pairs: "Pairs") -> Iterator[str]:
    """Yield how the errors of common runs differ."""
    from vlmfrontier.frontier.differences import NORMAL_90
    from vlmfrontier.units import format_configuration, format_difference, format_error

    rows = pairs.rows
    yield f"  {len(rows)} in both (same factors, n and seed), {pairs.alone[0]} in A alone, {pairs.alone[1]} in B alone"
    if not rows.difference.any():
        if len(rows):
            yield "  their errors are the same"
        return
    mean, se = pairs.mean
    beside = float(rows["first"].mean())
    if len(rows) > 1:
        ends = " to ".join(format_difference(mean + side * NORMAL_90 * se, beside) for side in (-1, 1))
        real = abs(mean) > NORMAL_90 * se
        verdict = ("B is worse" if mean > 0 else "B is better") if real else "no difference is established"
        yield f"  B less A, mean over these: {format_difference(mean, beside)} ± {format_error(se)}, its standard error"
        yield f"    90% interval {ends}: {verdict}"
    yield "  those that differ most:"
    order = rows.difference.abs().sort_values(ascending=False, kind="stable").index[:SHOWN]
    levels = [name for name in rows if name not in ("first", "second", "difference", "se", "seed")]
    for row in rows.loc[order].to_dict("records"):
        x = format_configuration({name: float(row[name]) for name in levels})
        seed = f", seed {row['seed']}" if "seed" in row else ""
        noise = f" ± {format_error(row['se'])} by the tests" if row["se"] > 0 else ""
        change = f"{format_error(row['first'])} → {format_error(row['second'])}"
        yield f"    {x}{seed}: {change} ({format_difference(row['difference'], row['first'])}{noise})"


def _optima(first: "Results", second: "Results", targets: Sequence["Target"], given: Namespace) -> Iterator["Both"]:
    """Yield what both studies say at common budgets and numbers of examples; nothing where costs differ in unit."""
    import numpy as np

    from vlmfrontier.frontier.pairing import both
    from vlmfrontier.units import parse_number

    if first.space.unit != second.space.unit:
        return
    if given.budgets:
        budgets = sorted(map(parse_number, given.budgets))
    else:
        low, high = max(first.budgets[0], second.budgets[0]), min(first.budgets[-1], second.budgets[-1])
        budgets = np.unique(np.geomspace(low, high, BUDGETS)) if low <= high else []
    sizes: Sequence[float | None] = [None]
    if first.examples is not None:
        common = np.intersect1d(first.examples, second.examples)[-1:]
        sizes = [parse_number(n) for n in given.examples] if given.examples else list(common)
    for n in sizes:
        for budget in budgets:
            yield both(*targets, float(budget), n if n is None else float(n), first.config.near)


def _of_optima(optima: Sequence["Both"], first: "Results", second: "Results", target: str) -> Iterator[str]:
    """Yield x* of both studies at every budget, with intervals, and what that comes to."""
    from vlmfrontier.frontier.sentences import question
    from vlmfrontier.units import format_difference

    if not optima:
        yield "  none to compare: a study has no cost, costs differ in unit, or no budget or n is common"
        return
    largest, unit = first.largest_error(target), first.space.unit
    alike = sum(one.first.choice.x == one.second.choice.x for one in optima)
    yield f"  the same at {alike} of {len(optima)} budgets"
    for one in optima:
        a, b = one.first, one.second
        same = a.choice.x == b.choice.x
        yield f"  {question(one.budget, unit, one.examples)}: {'the same choice' if same else 'another choice'}"
        for name, own in (("A", a), ("B", b)):
            yield f"    {name}: {_optimum(own, largest, same)}"
        middle, low, high = one.difference
        ends = " to ".join(format_difference(end, a.choice.f) for end in (low, high))
        real = "" if low > 0 or high < 0 else ", which may be none"
        yield f"    B less A, predicted error: {format_difference(middle, a.choice.f)} (90% interval {ends}{real})"


def _optimum(own: "Optimum", largest: float | None, same: bool) -> str:
    """Return one study's choice in a line, and what it says of the other study's where that is another."""
    from vlmfrontier.frontier.sentences import spread
    from vlmfrontier.units import format_configuration, format_difference, format_error, format_range

    choice = own.choice
    said = f"{format_configuration(choice.x)}: {format_error(choice.f, largest)}"
    said += f" ({format_range(choice.f_lo, choice.f_hi, largest)}); {spread(own.ranges)}"
    if same:
        return said
    if own.rival is None:
        return f"{said}; the other's choice is not in its space"
    return f"{said}; the other's choice: {format_difference(own.rival - choice.f, choice.f)}"
