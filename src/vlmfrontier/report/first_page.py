"""What a reader sees first, on the report's first page and at the end in the terminal: question, answer, caveats."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vlmfrontier.frontier.caveats import sentence
from vlmfrontier.frontier.sentences import asked, headline, per_video
from vlmfrontier.report.blocks import Block, Caution, Heading, Highlight, Items, Table, Text, table
from vlmfrontier.report.caveats import caveats
from vlmfrontier.report.laws_section import best_form, left_out
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.units import format_count, format_error, format_number, format_range, format_share

BUDGETS = 6
"""Budgets that the table beside the answer shows, of all that were searched."""
NOT_PROBABILITY = "Shares of fits measure how far they agree; they are not the probability of being right."


def first_page(report: StudyReport) -> Iterator[Block]:
    """Yield the title, the question, the answer and what makes it less sure, and x* at other budgets."""
    if report.has_frontier:
        yield Heading(f"{report.study.study}: what to deploy", level=1)
        yield Text(asked(report.answer))
        yield Highlight(tuple(map(sentence, headline(report.answer))))
        yield Items((*report.answer.measured, NOT_PROBABILITY, chosen_question(report)))
    else:
        yield Heading(f"{report.study.study}: what was run and found", level=1)
        if report.has_laws:
            yield Highlight((best_form(report), left_out(report)))
    found = all_caveats(report)
    if not found:
        yield Text("No caveats: nothing failed, the laws hold on runs they have not seen, nothing is extrapolated.")
    yield from map(Caution, found)
    if report.has_frontier:
        yield other_budgets(report)


def first_lines(report: StudyReport) -> list[str]:
    """Return question, answer and caveats as lines for a terminal; of a study without a cost, its law."""
    if report.has_frontier:
        answer = report.answer
        said = [asked(answer), *(f"  {line}" for line in headline(answer))]
        said += [f"  measured: {one}" for one in answer.measured]
        said += [f"  caveat: {one}" for one in answer.warnings]
        return [*said, f"  {chosen_question(report)}"]
    return [best_form(report), left_out(report), *all_caveats(report)] if report.has_laws else []


def all_caveats(report: StudyReport) -> list[str]:
    """Return what makes the answer less sure, then the whole study, a sentence each."""
    of_answer = report.answer.warnings if report.has_frontier else ()
    return [*of_answer, *caveats(report)]


def chosen_question(report: StudyReport) -> str:
    """Return why the report answers for this budget and n, and how to ask for others."""
    budgets, found = report.results.budgets, report.answer
    ends = " to ".join(format_number(float(budgets[end])) for end in (0, -1))
    middle = f"the middle of {len(budgets)} budgets from {ends} {per_video(found.unit)}"
    why = f"its budget is {middle if len(budgets) > 1 else 'the one of the study'}"
    examples = ""
    if found.examples is not None:
        why += ", its n the largest of the study"
        examples = f" --examples {format_count(found.examples)}"
    asking = f"`vlmfrontier query --study {report.study.study} --budget {format_number(found.budget)}{examples}`"
    return f"The question is an example: {why}. Ask others in explorer.html, or with {asking}."


def other_budgets(report: StudyReport) -> Table:
    """Return x* at a few budgets, for the n of the answer."""
    rows, found, factors = report.frontier, report.answer, report.study.factors()
    if found.examples is not None:
        rows = rows[np.isclose(rows.n, found.examples)]
    unit = per_video(report.results.space.unit)
    cells = [
        (
            format_number(row["c"]),
            *(format_count(row[name]) for name in factors),
            format_error(row["f"], found.largest),
            format_range(row["run_lo"], row["run_hi"], found.largest),
            format_share(row["p_near"]),
        )
        for row in few(rows, report.answer.budget).to_dict("records")
    ]
    at = "" if found.examples is None else f" and n = {format_count(found.examples)}"
    return table(
        (f"budget ({unit})", *factors, f"predicted {found.target}", "a new run (90%)", "agree"),
        cells,
        f"The recommendation at other budgets{at}. Agree: share of the resampled fits for which it is near enough to "
        "their best.",
    )


def few(rows: pd.DataFrame, budget: float) -> pd.DataFrame:
    """Return the rows of a few budgets, evenly chosen, the first, the last and that of the answer among them."""
    places = np.linspace(0, len(rows) - 1, min(BUDGETS, len(rows))).round().astype(int)
    own = np.flatnonzero(np.isclose(rows.c, budget))
    return rows.iloc[np.unique([*places, *own])]
