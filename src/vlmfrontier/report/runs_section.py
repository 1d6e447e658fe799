"""The question of a study, and the runs that were made to answer it."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from vlmfrontier.frontier.answers import per_video
from vlmfrontier.report.blocks import Block, Heading, Items, Text, table
from vlmfrontier.report.known import Known
from vlmfrontier.report.words import amount
from vlmfrontier.sweep.status import DONE, FAILED
from vlmfrontier.units import format_number

BEST = 5
"""How many of the best runs are shown."""


def question(known: Known) -> Iterator[Block]:
    """Yield what is asked, of which factors and targets."""
    study = known.study
    yield Heading("The question")
    factors = [known.factor_name(factor) for factor in study.factors()]
    asked = (
        f"Which {_list(factors)} {'gives' if len(factors) == 1 else 'give'} the least {known.error_name(known.main)}"
    )
    given = ["at a given cost"] if known.results.cost is not None else []
    given += ["for a given amount of data"] if known.has_table and known.results.table.has_data else []
    yield Text(f"{asked}{' and'.join(f' {condition}' for condition in given)}?")
    if known.has_table:
        yield from map(Text, known.results.record.about)
    if known.results.cost is not None and known.has_table:
        space = known.results.space
        levels = [f"{len(space.levels(name))} values of {name}" for name in space.factors]
        yield Text(
            f"{len(space):,} configurations could be deployed ({', '.join(levels)}). The cheapest costs "
            f"{format_number(space.cost[0])}, the dearest {format_number(space.cost[-1])} {per_video(space.unit)}."
        )


def runs(known: Known) -> Iterator[Block]:
    """Yield how many runs there are, which failed and why, what they cover, and the best of them."""
    yield Heading("The runs")
    if known.runs:
        yield from _progress(known)
    if known.failed:
        rows = [(f"`{run.key}`", status.reason) for run, status in known.failed]
        yield table(("failed run", "why"), rows, "A failed run is in no law; `snakemake` tries it again.")
    if not known.has_table:
        return
    yield Items(tuple(_coverage(known)))
    yield from _best(known)
    yield from _control(known)


def _progress(known: Known) -> Iterator[Block]:
    by_sweep: dict[str, Counter] = {}
    for run, status in known.runs:
        by_sweep.setdefault(run.sweeps[0], Counter())[status.state] += 1
    rows = [
        (sweep, counts.total(), counts[DONE], counts[FAILED], counts.total() - counts[DONE] - counts[FAILED])
        for sweep, counts in by_sweep.items()
    ]
    done = sum(status.state == DONE for _, status in known.runs)
    yield Text(f"**{done} of {len(known.runs)} runs are done, {len(known.failed)} failed.**")
    yield table(
        ("sweep", "runs", "done", "failed", "not yet"), rows, "A run of several sweeps is counted in the first."
    )


def _coverage(known: Known) -> Iterator[str]:
    """Yield what the runs cover, as a line for each factor, n and the main target."""
    results = known.results
    ranges = {**results.range.factors} | ({"n": results.range.examples} if results.range.examples else {})
    columns = {**results.table.factors} | ({"n": results.table.data} if results.table.has_data else {})
    yield f"{len(results.table)} runs in {results.table.configurations} configurations"
    for name, (low, high) in ranges.items():
        count = len(np.unique(columns[name]))
        yield f"{known.factor_name(name)}: {count} values from {amount(name, low)} to {amount(name, high)}"
    fitted = results.table.measured(known.main)
    measured, se = fitted.error(known.main), fitted.se[known.main]
    noise = "" if se is None else f"; standard error {np.mean(se):.2g} on average"
    yield f"{known.error_name(known.main)}: {measured.min():.4g} to {measured.max():.4g}{noise}"


def _best(known: Known) -> Iterator[Block]:
    """Yield the runs with the least error."""
    frame, targets = known.results.runs, known.study.targets()
    place = np.argsort(known.results.table.error(known.main), kind="stable")[:BEST]
    factors = [*known.results.table.factors, *(["n"] if known.results.table.has_data else [])]
    costs = None if known.results.cost is None else known.results.run_costs
    rows = [
        (
            *(amount(name, frame[name].iloc[row]) for name in factors),
            *(() if costs is None else (format_number(costs[row]),)),
            *(f"{error:.4g}" if np.isfinite(error := frame[target].iloc[row]) else "–" for target in targets),
        )
        for row in place
    ]
    heads = (*factors, *(() if costs is None else (f"c ({known.results.space.unit})",)), *targets)
    yield table(heads, rows, f"The {len(rows)} runs with the least {known.error_name(known.main)}, as measured.")


def _control(known: Known) -> Iterator[Block]:
    """Yield what a model scores with another video's frames: what answer priors are worth without seeing."""
    pairs = [
        (record["errors"][known.main]["error"], record["wrong_video"][known.main]["error"])
        for record in known.records
        if known.main in (record.get("wrong_video") or {}) and known.main in record["errors"]
    ]
    if not pairs:
        return
    own, wrong = np.mean(pairs, axis=0)
    verdict = "the models answer from what they see." if wrong > own else "**the models do not see.**"
    yield Text(
        f"Control: with the frames of another video the mean error of {known.main} is {wrong:.1f} instead of "
        f"{own:.1f}: {verdict}"
    )


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
