"""Time of the frontier search on a problem of the paper's size, against the naive loop.

    python benchmarks/frontier.py [--resamples 100] [--budgets 300] [--sizes 200]

Prints a table: the search for x*(c; n) of the pooled median over all budgets and data sizes, every model's own
frontier (bands), both at once as elasticities, and the naive loop, timed on a sample of cells and extrapolated.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from tabulate import tabulate

from vlmfrontier.cost.flops import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, PaperCost
from vlmfrontier.frontier.elasticity import ElasticityGrid, elasticity_table
from vlmfrontier.frontier.pool import Members, Target, as_in_the_paper
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.frontier.space import RunRange, SearchSpace, grid_space

SAMPLED_CELLS = 40


def main() -> None:
    """Print the times."""
    options = arguments()
    space = paper_space(100e12)
    members = laws_over(space, options.resamples)
    budgets = np.linspace(2e12, 100e12, options.budgets)
    examples = np.linspace(1e6, 10e6, options.sizes)
    counts = affordable(space.cost, budgets)
    compile_kernels(members, counts)

    errors, pooled = timed(lambda: pooled_errors(members, examples))
    chosen, found = timed(lambda: search(errors, counts))
    _, bands = timed(lambda: member_choices(members, examples, counts))
    target = Target("avg", space, as_in_the_paper(members), RunRange({}, None))
    grid = ElasticityGrid(budgets, np.linspace(1e6, 10e6, 100), 5e6)
    _, elasticities = timed(lambda: elasticity_table(target, grid))
    naive = naive_seconds(len(members), space, budgets, examples, chosen)

    print(f"{len(space)} configurations, {len(budgets)} budgets, {len(examples)} data sizes, {len(members)} resamples")
    rows = [
        ["frontier of the pooled median", pooled + found, naive / (pooled + found)],
        ["every resample's frontier", bands, None],
        ["elasticities with bands", elasticities, None],
        [f"naive loop (extrapolated from {SAMPLED_CELLS} cells)", naive, 1.0],
    ]
    print(tabulate(rows, headers=["", "seconds", "times faster"], floatfmt=(".0f", ".2f", ".0f"), missingval=""))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f} GiB")


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=100, help="models (default 100)")
    parser.add_argument("--budgets", type=int, default=300, help="budgets (default 300)")
    parser.add_argument("--sizes", type=int, default=200, help="data sizes (default 200)")
    return parser.parse_args()


def paper_space(budget: float) -> SearchSpace:
    """Return the paper's space, with five LM sizes, as far as `budget` FLOPs go."""
    axes = {"N": [1e9, 2.8e9, 7.5e9, 15e9, 30e9], "T": np.arange(1, 129), "V": np.arange(1, 29) ** 2}
    return grid_space(axes, PaperCost(PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES)).within(budget)


def laws_over(space: SearchSpace, count: int) -> Members:
    """Return `count` laws of the form add-interact around one truth, N in billions and n in millions, over a space."""
    rng = np.random.default_rng(0)
    x = np.stack([space.factors["N"] / 1e9, space.factors["T"], space.factors["V"]])
    alpha, a = np.array([4.0, 14.0, 10.0]), np.array([0.45, 0.55, 0.40])
    beta, b = np.array([0.8, 0.35, 0.5]), np.array([0.15, 0.25, 0.10])
    spread = rng.lognormal(0, 0.1, (count, 4, 3))
    powers = np.log(x)
    return Members(
        A=np.einsum("rk,rkm->rm", spread[:, 0] * alpha, np.exp(-(spread[:, 2] * a)[..., None] * powers)) + 22,
        B=np.einsum("rk,rkm->rm", spread[:, 1] * beta, np.exp((spread[:, 3] * b)[..., None] * powers)) + 3,
        d=rng.normal(0.45, 0.03, count),
        data_unit=1e6,
    )


def compile_kernels(members: Members, counts: np.ndarray) -> None:
    """Run every kernel once on a few models, so that compiling is not timed."""
    few = members.take(np.arange(2))
    errors = pooled_errors(few, np.array([1e6]))
    search(errors, counts)
    member_choices(few, np.array([1e6]), counts)


def timed(work: Callable):
    """Return what `work` returns, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def naive_seconds(
    count: int, space: SearchSpace, budgets: np.ndarray, examples: np.ndarray, chosen: np.ndarray
) -> float:
    """Return the seconds of a search cell by cell, from a sample whose choices must equal `chosen`.

    Every cell evaluates every law at every affordable configuration, in one array operation, and takes the best median.
    """
    rng = np.random.default_rng(1)
    cells = [(rng.integers(len(examples)), rng.integers(len(budgets))) for _ in range(SAMPLED_CELLS)]
    start = time.perf_counter()
    for s, c in cells:
        feasible = space.within(budgets[c])
        errors = laws_over(feasible, count).errors(np.arange(len(feasible)), examples[s])
        if np.argmin(np.median(errors, axis=0)) != chosen[s, c]:
            raise AssertionError(f"the naive search differs at n = {examples[s]:g}, c = {budgets[c]:g}")
    return (time.perf_counter() - start) / SAMPLED_CELLS * len(budgets) * len(examples)


if __name__ == "__main__":
    main()
