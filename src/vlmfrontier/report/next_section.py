"""What to run next."""

from collections.abc import Iterator

import pandas as pd

from vlmfrontier.report.blocks import Block, Heading, Items, Lines, Text, table
from vlmfrontier.report.known import Known
from vlmfrontier.report.words import amount, configuration, question
from vlmfrontier.units import format_number, format_share


def next_steps(known: Known) -> Iterator[Block]:
    """Yield what to do next: runs to do again, runs that would make the frontier surer, and the command for each."""
    yield Heading("What to run next")
    steps = [*_missing(known), *_surer(known)]
    yield from steps or [Text("Nothing stands out: the models agree along the whole frontier, within the runs.")]


def _missing(known: Known) -> Iterator[Block]:
    """Yield what has to be run or fitted before anything can be said of new runs."""
    if known.failed or known.undone:
        missing = len(known.failed) + len(known.undone)
        yield Text(f"First the {missing} runs without a result: `snakemake` trains only what is missing.")
    if not known.has_laws:
        yield Text("Until the laws are fitted nothing can be said of what is worth running beyond that.")
    elif not known.has_frontier:
        yield Text("Without a frontier there is no telling which runs would make it surer.")


def _surer(known: Known) -> Iterator[Block]:
    """Yield where the frontier is least sure, and the runs that would help most for what they cost."""
    if not known.has_frontier:
        return
    hints = (*_wider(known), *_contested(known))
    if hints:
        yield Items(hints)
    if not known.results.table.has_data:
        return
    if known.next_runs is None:
        yield Text("Which new runs would make the frontier surest, and whether any is worth it:")
        yield Lines((f"python scripts/next_runs.py --study {known.folder}/study.json",))
        return
    yield from _suggested(known)


def _wider(known: Known) -> Iterator[str]:
    """Yield for every factor in which the recommendation leaves the runs how far they would have to reach."""
    for name in known.results.range.outside(known.answer.choice.x, known.answer.examples):
        value = known.answer.examples if name == "n" else known.answer.choice.x[name]
        yield f"The recommendation has {name} = {amount(name, value)}, where nothing was run: add that level."


def _contested(known: Known) -> Iterator[str]:
    """Yield the place on the frontier where the models agree least, with the two rivals there."""
    row = known.frontier.iloc[int(known.frontier.p_near.argmin())].to_dict()
    if row["p_near"] == 1 or pd.isna(row["second_f"]):
        return
    examples = None if pd.isna(row["n"]) else row["n"]
    first, second = ({name: row[prefix + name] for name in known.study.factors()} for prefix in ("", "second_"))
    pair = f"a run with {configuration(first)} and one with {configuration(second)}"
    yield (
        f"With {question(row['c'], known.results.space.unit, examples)} the models agree least "
        f"({format_share(row['p_near'])}): {pair} tells most."
    )


def _suggested(known: Known) -> Iterator[Block]:
    rows, factors = known.next_runs, known.study.factors()
    if rows.empty:
        yield Text(
            "Every rival of the frontier has been run at every number of examples; only a wider `space` has more."
        )
        return
    cells = [
        (
            *(amount(name, row[name]) for name in (*factors, "n")),
            format_number(row["training_cost"]),
            f"{row['regret_before']:.3g} → {row['regret_after']:.3g}",
        )
        for row in rows.to_dict("records")
    ]
    yield table(
        (*factors, "n", f"training cost ({known.results.space.unit})", "expected regret"),
        cells,
        "Runs that would make the frontier surest for what they cost; regret in points of error. Where it is far below "
        "the noise of a run, none is worth it.",
    )
    if known.study.sweep is not None:
        yield Text("To train them, with the study's own configuration in the place of config.yaml:")
        yield Lines(("snakemake next_runs", f"snakemake --configfile config.yaml {known.folder}/next_runs.yaml"))
