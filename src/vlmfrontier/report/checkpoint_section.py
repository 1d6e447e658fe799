"""One checkpoint, many budgets: how far a single trained model serves where others would be retrained."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vlmfrontier.frontier.checkpoint import Checkpoint, called, sizes
from vlmfrontier.frontier.sentences import beyond, gain, predicted, tested_error
from vlmfrontier.report.blocks import Block, Heading, Text, table
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.units import format_configuration, format_difference, format_number


def checkpoint(report: StudyReport) -> Iterator[Block]:
    """Yield the best levels of the model of the middle size by budget, beside what retraining would give; nothing where
    no model was tested at several levels."""
    if report.checkpoint is None or report.checkpoint.empty or not report.has_frontier:
        return
    found = sizes(report.results.checkpoints(report.main))
    one = found[len(found) // 2]
    rows = report.checkpoint[(report.checkpoint.target == report.main) & (report.checkpoint.run == one.run)]
    yield Heading("One checkpoint, many budgets")
    yield Text(" ".join(_sentences(report, one, rows)))
    unit, name = report.results.space.unit, report.results.range_name
    cells = [
        (
            format_number(row["c"]),
            _levels(row, one),
            format_number(row["cost"]),
            tested_error(row),
            gain(row).split(";")[0],
            "" if np.isnan(row["f"]) else _levels(row, one, "law_"),
            "" if np.isnan(row["f"]) else predicted(row, name) + beyond(row),
        )
        for row in rows.to_dict("records")
    ]
    heads = (
        f"budget ({unit})",
        "best test",
        f"cost ({unit})",
        "measured",
        "retrained there",
        "law's best",
        "predicted",
    )
    yield table(
        heads,
        cells,
        f"`{one.run}` ({called(one)}): the best of its {len(one.error)} tests within each budget with its standard "
        "error, how that would change by retraining at these levels, and a model of its size and n retrained at the "
        "levels that the law finds best. The best of many tests looks better than it is, by up to about one standard "
        "error. All models: `tables/checkpoint.csv`.",
    )


def _levels(row: dict, one: Checkpoint, prefix: str = "") -> str:
    return format_configuration({name: float(row[prefix + name]) for name in one.levels})


def _sentences(report: StudyReport, one: Checkpoint, rows: pd.DataFrame) -> Iterator[str]:
    """Yield how far the model of the middle size serves all budgets, and how to ask for another one."""
    behind = (rows.error - rows.f).dropna()
    known = rows.gain.notna().any()
    rivals = "models of its size retrained for each," if known else "the best of its size for each, tested likewise,"
    most = ""
    if len(behind):
        ends = [format_difference(float(end), float(rows.error.max())) for end in (behind.min(), behind.max())]
        most = (
            f": over these {len(behind)} budgets its measured error less that of {rivals} as the law predicts it, is "
            f"{ends[0]} to {ends[1]}"
        )
    yield f"One model, `{one.run}` ({one.says}), can serve every budget with fewer frames and tokens{most}."
    if not known:
        yield "What retraining it would gain is not known: no configuration was trained as well as tested."
    if report.study.trained:
        yield f"For another model or other budgets: `vlmfrontier query --study {report.study.study} --checkpoint RUN`."
