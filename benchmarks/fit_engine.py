"""How fast and how good the fitting engine is, on the paper's 88 runs with a known law and 1% noise.

    python benchmarks/fit_engine.py speed        ms per start: scipy numeric, scipy analytic, lmfit, ours
    python benchmarks/fit_engine.py scipy        best of 500 analytic scipy starts against ours, on 20 resamples
    python benchmarks/fit_engine.py reference    all 500 starts run to convergence against ours, on 300 resamples
    python benchmarks/fit_engine.py protocol     100 resamples x 500 starts of one form; time and peak memory at 400
    python benchmarks/fit_engine.py tables       Tables 2, 8 and 9 of one target
    python benchmarks/fit_engine.py rows         time and memory for 88 to 1,000 rows
    python benchmarks/fit_engine.py selection    which form is chosen where the truth is known, 10 seeds each

Seeds start at 2000: none was used to tune the engine. Times are of one thread unless said otherwise; ratios are medians
of rounds in which the methods take turns. `--quick` does a tenth of the work.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice

import lmfit
import numpy as np
from synthetic import ADDITIVE, STRONG, paper_sweep
from tabulate import tabulate

from vlmfrontier.laws import engine, reference
from vlmfrontier.laws.ablations import bagging_table, fitting_table
from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.fit import fit, problem_for
from vlmfrontier.laws.problem import Problem
from vlmfrontier.laws.reference import log_predictor
from vlmfrontier.laws.selection import compare_forms
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.study.analysis import LawsConfig

FORM = "add-interact"
FORMS = ["mult", "add", "add-interact-s", "add-interact"]
FIRST_SEED = 2000
CONVERGED = engine.Schedule(
    screened=None, halving=(), rounds=0, pool=1, crossings=0, tried=0, jumps=0, exchange=(), helpers=0
)


def resampled(seed: int, count: int, config: LawsConfig) -> Problem:
    """Return `count` bootstrap resamples of a fresh synthetic sweep as one batch."""
    problem = problem_for(paper_sweep(STRONG, 0.01, seed), FORM, "avg", config)
    rng = np.random.default_rng(seed)
    rows = problem.weight.shape[1]
    return problem.with_weights(rng.multinomial(rows, np.full(rows, 1 / rows), count).astype(float))


def cpu(work: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds of this thread that `work` takes, and its result."""
    start = time.thread_time()
    result = work()
    return time.thread_time() - start, result


def speed(quick: bool) -> Iterator[list[object]]:
    """Yield method, ms per start, objective reached, ratio to ours; methods take turns on the same resample."""
    rounds, starts = (2 if quick else 7), {"scipy numeric": 3, "scipy analytic": 12, "lmfit leastsq": 2}
    seconds: dict[str, list[float]] = {name: [] for name in [*starts, "ours, wide", "ours, fast"]}
    for turn in range(rounds):
        problem = resampled(FIRST_SEED + turn, 100, LawsConfig())
        single = problem.with_weights(problem.weight[:1])
        for name, count in starts.items():
            ends = {
                "scipy numeric": lambda p=single: reference.descents(p, 0, "numeric"),
                "scipy analytic": lambda p=single: reference.descents(p, 0, "analytic"),
                "lmfit leastsq": lambda p=single: lmfit_descents(p),
            }[name]
            seconds[name].append(cpu(lambda e=ends, c=count: list(islice(e(), c)))[0] / count)
        for preset in ("wide", "fast"):
            batch = resampled(FIRST_SEED + turn, 20, LawsConfig(preset=preset))
            seconds[f"ours, {preset}"].append(cpu(lambda b=batch: engine.solve(b, threads=1))[0] / (20 * 500))
    for name, each in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(each, seconds["ours, wide"], strict=True))
        yield [name, f"{1e3 * statistics.median(each):.4g}", f"{ratio:.3g}"]


def lmfit_descents(problem: Problem) -> Iterator[lmfit.minimizer.MinimizerResult]:
    """Yield lmfit's fits from the paper's starts, as its users write them."""
    form, used = problem.form, problem.weight[0] > 0
    root, target, log_f = np.sqrt(problem.weight[0, used]), problem.log_target[0, used], log_predictor(problem, 0)

    def residual(parameters: lmfit.Parameters) -> np.ndarray:
        return root * (log_f(np.array([parameters[name].value for name in form.parameter_names])) - target)

    for start in reference.starts(problem, 0):
        parameters = lmfit.Parameters()
        for name, value, coefficient in zip(form.parameter_names, start, form.is_coefficient, strict=True):
            parameters.add(name, value=value, min=0 if coefficient else -3, max=np.inf if coefficient else 3)
        yield lmfit.minimize(residual, parameters, method="leastsq")


def against_scipy(quick: bool) -> Iterator[list[object]]:
    """Yield, per resample, scipy's best of 500 analytic starts, ours, and their ratio."""
    count = 2 if quick else 20
    problem = resampled(FIRST_SEED + 50, count, LawsConfig())
    ours = engine.solve(problem).objective
    for row in range(count):
        theirs = min(value for _, value in reference.descents(problem, row, "analytic"))
        yield [row, f"{theirs:.9g}", f"{ours[row]:.9g}", f"{theirs / ours[row]:.6f}", ours[row] <= theirs]


def against_converged(quick: bool) -> Iterator[list[object]]:
    """Yield, per preset, the share of resamples within 1e-6 of the best of 500 starts that all ran to convergence."""
    sweeps, count = (1, 30) if quick else (3, 100)
    schedules = dict(engine.SCHEDULES)
    objectives: dict[str, list[np.ndarray]] = {name: [] for name in ("converged", "wide", "fast")}
    for seed in range(FIRST_SEED + 100, FIRST_SEED + 100 + sweeps):
        for name, found in objectives.items():
            engine.SCHEDULES["exhaustive"] = CONVERGED
            config = LawsConfig(preset="exhaustive", seed=77) if name == "converged" else LawsConfig(preset=name)
            found.append(engine.solve(resampled(seed, count, config)).objective)
            engine.SCHEDULES.update(schedules)
    converged = np.concatenate(objectives["converged"])
    for name in ("wide", "fast"):
        ours = np.concatenate(objectives[name])
        below, within = np.mean(ours < converged * (1 - 1e-6)), np.mean(ours <= converged * (1 + 1e-6))
        yield [name, len(ours), f"{within:.4f}", f"{below:.4f}", f"{(ours / converged - 1).max():.2e}"]


def protocol(quick: bool) -> Iterator[list[object]]:
    """Yield wall-clock seconds of 100 (and 400) resamples x 500 starts on all cores, and peak memory."""
    table = paper_sweep(STRONG, 0.01, FIRST_SEED)
    law = fit(table, FORM)
    for resamples in (100,) if quick else (100, 400):
        start, config = time.perf_counter(), LawsConfig(resamples=resamples)
        bag(table, law, config=config)
        yield [resamples, f"{time.perf_counter() - start:.1f}", f"{peak_memory():.0f}"]


def tables(quick: bool) -> Iterator[list[object]]:
    """Yield wall-clock seconds of Tables 2, 8 and 9 of one target, on all cores."""
    table = paper_sweep(STRONG, 0.01, FIRST_SEED)
    config = LawsConfig(preset="fast") if quick else LawsConfig()
    works = {
        "2, forms": lambda: compare_forms(table, "avg", config),
        "8, fitting (scipy: 2 starts)": lambda: fitting_table(table, "avg", config, scipy_starts=2),
        "9, bagging": lambda: bagging_table(table, "avg", config),
    }
    for name, work in works.items():
        start = time.perf_counter()
        work()
        yield [name, f"{time.perf_counter() - start:.1f}"]


def rows(quick: bool) -> Iterator[list[object]]:
    """Yield seconds of a fit and of ten resamples by the number of rows."""
    for count in (88, 250) if quick else (88, 250, 500, 1000):
        table = repeated(paper_sweep(STRONG, 0.01, FIRST_SEED), count)
        start = time.perf_counter()
        law = fit(table, FORM)
        fitted = time.perf_counter()
        bag(table, law, config=LawsConfig(resamples=10))
        yield [count, f"{fitted - start:.2f}", f"{time.perf_counter() - fitted:.2f}", f"{peak_memory():.0f}"]


def repeated(table: ResultsTable, count: int) -> ResultsTable:
    """Return `count` rows: those of `table` over and over, each moved a little so that no two are alike."""
    rng = np.random.default_rng(0)
    which = np.arange(count) % len(table)
    moved = {name: values[which] * rng.uniform(0.9, 1.1, count) for name, values in table.factors.items()}
    return from_arrays(moved, {"avg": table.targets["avg"][which]}, table.data[which], table.units, table.data_unit)


def selection(quick: bool) -> Iterator[list[object]]:
    """Yield, per truth and seed, the form chosen and the cross-validated MSE of every form."""
    config = LawsConfig(preset="fast", forms=FORMS)
    for name, truth in (("strong interaction", STRONG), ("additive", ADDITIVE)):
        for seed in range(FIRST_SEED, FIRST_SEED + (1 if quick else 10)):
            found = compare_forms(paper_sweep(truth, 0.01, seed), "avg", config)
            left_out = found.rows[found.rows.setup == "cv"].set_index("form").mse
            yield [name, seed, found.chosen, *(f"{left_out[form]:.3f}" for form in config.forms)]


def peak_memory() -> float:
    """Return this process's largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS: dict[str, tuple[Callable[[bool], Iterator[list[object]]], list[str]]] = {
    "speed": (speed, ["method", "ms per start", "x ours, wide"]),
    "scipy": (against_scipy, ["resample", "scipy best of 500", "ours", "ratio", "ours <= scipy"]),
    "reference": (against_converged, ["preset", "resamples", "within 1e-6", "below by 1e-6", "worst"]),
    "protocol": (protocol, ["resamples x 500 starts", "seconds", "peak MB"]),
    "tables": (tables, ["table", "seconds"]),
    "rows": (rows, ["rows", "fit s", "10 resamples s", "peak MB"]),
    "selection": (selection, ["truth", "seed", "chosen", *FORMS]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    engine.solve(resampled(FIRST_SEED - 1, 2, LawsConfig(starts=20)))  # compiles, or reads the cache
    work, headers = PARTS[given.part]
    print(tabulate(list(work(given.quick)), headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
