"""What runs can detect: `power`, before any of them from a prior of laws, and after from the fitted ones."""

import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vlmfrontier import command_line
from vlmfrontier.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from vlmfrontier.frontier.power import Noise, Outcome
    from vlmfrontier.frontier.prior import Design
    from vlmfrontier.frontier.rivals import Comparison, Configuration
    from vlmfrontier.frontier.space import RunRange
    from vlmfrontier.results import Results
    from vlmfrontier.study.root import Study

LAWS = 120
NOISES = ("1%", "3%")
"""Of runs whose test questions are not known."""


def power_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument(
        "--rivals", nargs="+", default=[], metavar="FACTOR=VALUE,…", help="configurations; the rest as at the center"
    )
    parser.add_argument("--examples", help="number of examples at which rivals meet (default: the runs' largest)")
    command_line.target_argument(parser, "of which task (default: avg, or the first target)", "--task")
    parser.add_argument(
        "--noise",
        nargs="+",
        metavar="SHARE",
        help="noise of a run's error, such as 1%% (default: from the number of test questions)",
    )
    parser.add_argument("--laws", type=int, default=LAWS, help=f"laws drawn from the prior (default {LAWS})")
    parser.add_argument("--seed", type=int, default=0, help="of laws and noise (default 0)")
    parser.add_argument("--before", action="store_true", help="simulate even if the study's laws have been fitted")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def power(given: Namespace) -> None:
    """Say what the runs can detect: vlmfrontier power --study paper --rivals V=49 V=196 [--examples 2M] [--noise 1% 3%]

    Before the runs (after `vlmfrontier plan`): draws laws from a prior, simulates the planned runs, fits them, and
    prints how often the difference between the rivals is detected, with the right and with the wrong sign, by its true
    size; which difference is detected in 80% of the cases; and how often the direction in which x* moves with n is
    detected, right and wrong. An own table's rows are its design. Where laws have been fitted, rivals are compared by
    these instead: the share of resampled fits that agree, and the difference with its 90% interval.
    Rivals are levels (N=1e9 N=2.8e9) or whole configurations (N=1e9,T=8,V=49); models may be named.
    """
    from vlmfrontier.frontier.prior import design_of
    from vlmfrontier.frontier.rivals import check_rivals, parse_rivals
    from vlmfrontier.frontier.space import RunRange, named_levels
    from vlmfrontier.results import Results

    if given.laws < 1:
        raise UserError(f"--laws {given.laws}: draw at least one")
    results = Results.open(given.study)
    target = given.target or results.main_target
    if target not in results.study.targets():
        raise UserError(f"there is no target {target!r}; the targets are {', '.join(results.study.targets())}")
    design = design_of(results.study, target)
    rivals = parse_rivals(given.rivals, design.center, named_levels(results.study.models)) if given.rivals else []
    runs = RunRange.of(design.factors, design.data)
    examples = _examples(runs, given.examples)
    notes = check_rivals(rivals, design.space, runs, examples)
    if rivals and not given.before and results.laws_folder(target).weights.exists():
        record, lines = _after(results, target, rivals, examples)
        notes += results.caveats(target)
    else:
        record, lines = _before(given, results.study, target, design, rivals, examples)
    lines += [f"note: {note}" for note in notes]
    print(json.dumps({**record, "notes": notes}, indent=2) if given.json else "\n".join(lines))


def _examples(runs: "RunRange", text: str | None) -> float | None:
    """Return the n at which rivals meet, by default the runs' largest. Raises `UserError` for one that cannot be."""
    from vlmfrontier.frontier.answers import check_examples
    from vlmfrontier.units import parse_number

    largest = None if runs.examples is None else runs.examples[1]
    examples = largest if text is None else parse_number(text)
    check_examples(runs, examples)
    return examples


def _after(
    results: "Results", target: str, rivals: "Sequence[Configuration]", examples: float | None
) -> tuple[dict[str, Any], list[str]]:
    """Return what the fitted laws say of the rivals."""
    from vlmfrontier.frontier.rivals import columns, compare, shared
    from vlmfrontier.units import format_configuration

    found = compare(rivals, results.laws(target).ensemble(columns(rivals)), examples)
    lines = [f"By the fitted laws of {results.record.error_name(target)} {shared(rivals, examples)}".rstrip() + ":"]
    lines += [f"  {_compared(pair)}" for pair in found]
    measured = [_runs_at(results, target, rival, examples) for rival in rivals]
    lines += [
        f"  measured at {format_configuration(rival)}: {sum(errors) / len(errors):.4g}"
        for rival, errors in zip(rivals, measured, strict=True)
        if errors
    ]
    record = {"target": target, "examples": examples, "fitted": True, "compared": [pair.record() for pair in found]}
    return {**record, "measured": measured}, lines


def _runs_at(results: "Results", target: str, rival: "Configuration", examples: float | None) -> list[float]:
    """Return the measured errors of the runs of a rival."""
    import numpy as np

    table = results.table.measured(target)
    same = [np.isclose(table.factors[name], value, rtol=1e-9) for name, value in rival.items()]
    same += [table.data == examples] if table.data is not None else []
    return [float(error) for error in table.error(target)[np.all(same, axis=0)]]


def _compared(pair: "Comparison") -> str:
    from vlmfrontier.frontier.rivals import differing
    from vlmfrontier.units import format_share

    first, second = differing(pair.first, pair.second)
    share, better, worse, sign = pair.first_better, first, second, 1
    if share < 0.5:
        share, better, worse, sign = 1 - share, second, first, -1
    ends = sorted((sign * pair.lo, sign * pair.hi))
    doubt = "" if pair.detected else "; the difference is not established"
    return (
        f"{better} has less error than {worse} in {format_share(share)} of {pair.fits} resampled fits, by "
        f"{sign * pair.difference:.3g} (90% interval {ends[0]:.3g} to {ends[1]:.3g}){doubt}"
    )


def _before(
    given: Namespace,
    study: "Study",
    target: str,
    design: "Design",
    rivals: "Sequence[Configuration]",
    examples: float | None,
) -> tuple[dict[str, Any], list[str]]:
    """Return what simulated studies of the design detect."""
    from vlmfrontier.frontier.power import simulate
    from vlmfrontier.frontier.rivals import shared
    from vlmfrontier.progress import Count

    if not rivals and design.grid is None:
        raise UserError("this study has no cost or no data size, so no direction of x*: name --rivals to compare")
    at = f", rivals {shared(rivals, examples)}".rstrip() if rivals else ""
    lines = [f"{len(next(iter(design.factors.values())))} runs, {given.laws} laws drawn from the prior{at}"]
    parts = []
    for name, noise in _noises(study, target, given.noise):
        count = Count("power", given.laws, "laws", sys.stderr)
        outcomes = simulate(design, rivals, examples, noise, given.laws, given.seed, count.add)
        count.done()
        part, said = _summary(outcomes, name, design.scale)
        parts.append(part)
        lines += said
    lines.append(
        "These are averages over a wide prior (docs/frontier.md), each law fitted with few starts and resamples; with "
        f"{given.laws} laws a share is known to about {100 * (0.25 / given.laws) ** 0.5:.0f} points."
    )
    return {"target": target, "examples": examples, "fitted": False, "noises": parts}, lines


def _noises(study: "Study", target: str, given: Sequence[str] | None) -> "list[tuple[str, Noise]]":
    """Return each noise with what it is called: as given, that of the test questions, or 1% and 3%."""
    questions = _questions(study, target) if given is None else None
    if questions is None:
        return [(f"noise {text} of the error", _share(text)) for text in given or NOISES]
    variance = sum(1 / count for count in questions) / len(questions) ** 2

    def noise(error: "np.ndarray") -> "np.ndarray":
        part = (error / 100).clip(0.001, 0.999)
        return (variance * (1 - part) / part) ** 0.5

    return [(f"noise of {sum(questions):,} test questions, without that of seeds", noise)]


def _questions(study: "Study", target: str) -> list[int] | None:
    """Return how many questions each task of a target has; None where that is not known."""
    if not study.trained:
        return None
    tasks = [target] if target in study.tasks() else study.tasks()
    if study.evaluate.harness == "packed":
        return [study.data.digits.test for _ in tasks] if study.data.digits is not None else None
    settings = study.evaluate.lmms_eval
    known = [settings.tasks[task].benchmark.questions for task in tasks]
    if any(count is None for count in known):
        return None
    return [min(count, settings.limit or count) for count in known]


def _share(text: str) -> float:
    """Return a noise, `1%` or `0.01`, as a share. Raises `UserError` for what is none."""
    from vlmfrontier.units import is_number, parse_number

    number = text.removesuffix("%")
    share = parse_number(number) / (100 if text.endswith("%") else 1) if is_number(number) else float("nan")
    if not 0 < share < 1:
        raise UserError(f"--noise {text}: write a share of the error above 0 and below 100%, for example 1%")
    return share


def _summary(outcomes: "Sequence[Outcome]", name: str, scale: float) -> tuple[dict[str, Any], list[str]]:
    """Return what the simulated studies of one noise detected, as data and as lines."""
    from tabulate import tabulate

    from vlmfrontier.frontier.power import directed, separated
    from vlmfrontier.frontier.rivals import differing
    from vlmfrontier.units import format_share

    record: dict[str, Any] = {"noise": name, "rivals": [], "directions": []}
    lines = ["", f"{name[0].upper()}{name[1:]}:"]

    def percent(value: float) -> str:
        return "–" if math.isnan(value) else format_share(value)

    for number, pair in enumerate(outcomes[0].compared):
        table, smallest = separated(outcomes, number, scale)
        first, second = differing(pair.first, pair.second)
        rows = [
            (
                _bin(row["from"], row["to"]),
                row["laws"],
                *(percent(row[key]) for key in ("right", "wrong", "undetected")),
            )
            for row in table.to_dict("records")
        ]
        heads = ("true difference", "laws", "right sign", "wrong sign", "not detected")
        found = "no difference is found" if smallest is None else f"differences from {smallest:.2g} on are found"
        lines += [f"{first} against {second}:", tabulate(rows, heads), f"{found} in 80% of the cases"]
        record["rivals"].append({
            "first": pair.first,
            "second": pair.second,
            "found_in_80_percent": smallest,
            "bins": json.loads(table.to_json(orient="records")),
        })  # fmt: skip
    table = directed(outcomes)
    if len(table):
        rows = [(f"{row.factor}*", row.moves, percent(row.right), percent(row.wrong)) for row in table.itertuples()]
        lines += [
            "",
            tabulate(rows, ("x* with n", "laws that move it", "of these detected", "wrong direction, of all laws")),
        ]
        record["directions"] = json.loads(table.to_json(orient="records"))
    return record, lines


def _bin(low: float, high: float) -> str:
    """Return a bin of differences in words: `0.5–1`, `2 and more`, `all`."""
    if high == float("inf"):
        return f"{low:.2g} and more" if low else "all"
    return f"{low:.2g}–{high:.2g}"
