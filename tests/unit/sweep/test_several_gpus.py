"""A site with several kinds of GPU: which one a run takes, what that costs, and that plan and jobs say the same."""

from collections import Counter
from pathlib import Path

import pytest

from tests.unit.sweep.test_resources import large
from vlmfrontier.cluster.site import GpuSite, Site
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.evaluations import answering_hours, asked, evaluation_gpu
from vlmfrontier.sweep.jobs import gpu_job, training_job
from vlmfrontier.sweep.plan import plan_table
from vlmfrontier.sweep.plan_page import assumptions, plan_page, stage_1, summary, sweep_totals
from vlmfrontier.sweep.resources import plan_training, plan_trainings, refusals
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.trainings import alignment, finetuning

NO_RESULTS = Path("no-results")
A40 = {"partition": "a40", "model": "a40", "memory": 48, "flops": 37e12, "flops_bf16": 150e12, "hours": 100}
A100 = {"partition": "gpu", "model": "a100", "memory": 80, "flops": 19.5e12, "flops_bf16": 312e12, "cuda": False}
H100 = {"partition": "h100,h100-dev", "model": "h100", "memory": 200, "flops": 60e12, "flops_bf16": 990e12, "hours": 12}
PRICES = {"a40": 0.5, "gpu": 1.0, "h100,h100-dev": 3.0}


def site(*gpus: dict, priced: bool = False, **keys) -> Site:
    entries = [gpu | ({"price": PRICES[gpu["partition"]]} if priced else {}) for gpu in gpus]
    return Site.model_validate({"gpu": entries, "account": "lab", **keys})


def evaluated_on(study: Study, run: Run, of: Site) -> GpuSite:
    return evaluation_gpu(finetuning(study, run), of, asked(study, None, UNKNOWN_QUESTIONS))


def taken(of: Site, execution: dict | None = None) -> list[str]:
    """Return the GPUs of the runs with 1B and 8B."""
    study = large({"gpus": 4, **(execution or {})})
    return [plan_training(finetuning(study, run), of).on.model for run in plan_runs(study)]


@pytest.mark.parametrize(
    ("of", "execution", "models"),
    [
        (site(A40, A100, H100), {}, ["a40", "h100"]),
        (site(A100, A40, H100), {}, ["a100", "h100"]),
        (site(H100, A100, A40), {}, ["h100", "h100"]),
        (site(A100, A40, H100, choose="fastest"), {}, ["h100", "h100"]),
        (site(A100, A40, choose="fastest"), {}, ["a40", "a100"]),  # the second fits neither
        # 0.5 / 37, 1 / 19.5, 3 / 60 per FLOP of 32 bits
        (site(H100, A100, A40, choose="cheapest", priced=True), {}, ["a40", "h100"]),
        (site(A40, A100, H100), {"partition": "gpu"}, ["a100", "a100"]),
        (site(A40, A100, H100), {"partition": {"1b": "h100"}}, ["h100", "h100"]),
        (site(A40, A100, H100), {"partition": {"1b": "h100-dev"}}, ["h100", "h100"]),
        (site(A40, A100, H100), {"partition": {"1b": "a100"}}, ["a100", "h100"]),
    ],
)
def test_a_run_takes_the_gpu_that_the_site_and_the_study_say(of: Site, execution: dict, models: list[str]):
    assert taken(of, execution) == models


def test_a_run_that_fits_none_names_each():
    study = large()
    of = site(A40, A100)
    problem = plan_training(finetuning(study, plan_runs(study)[1]), of).problem
    assert "a40: needs" in problem
    assert "; gpu a100: needs" in problem
    assert "\n" not in problem
    assert problem in refusals(plan_trainings(study, plan_runs(study), of))


@pytest.mark.parametrize("name", ["h1000", "a", ""])
def test_a_partition_that_the_site_has_not_is_refused_with_what_it_has(name: str):
    if not name:
        with pytest.raises(Exception, match="partition"):
            large({"partition": ""})
        return
    study = large({"partition": {"1b": name}})
    problem = plan_training(finetuning(study, plan_runs(study)[0]), site(A40, H100)).problem
    assert problem.startswith(f"execution.partition {name}: the site has no such partition or GPU; ")


def test_a_language_model_bound_to_a_partition_must_exist():
    with pytest.raises(Exception, match=r"execution.partition.8B = h100: is no language model|execution.partition.8B"):
        large({"partition": {"8B": "h100"}})


def test_jobs_ask_for_what_the_plan_says_of_each_partition():
    study, of = large({"gpus": 4}), site(A40, A100, H100, qos="normal")
    runs = plan_runs(study)
    placements = plan_trainings(study, runs, of)
    plan = plan_table(study, NO_RESULTS, of).set_index("run")
    asked = training_job(of, placements.__getitem__)
    for run in runs:
        row = plan.loc[run.key]
        assert asked["slurm_partition"](run.key) == row.partition
        assert asked["gpu_model"](run.key) == row.gpu_model
        assert asked["runtime"](run.key) == row.limit_minutes
        assert asked["mem_mb"](run.key) == row.host_memory_mb
        assert "--without-cuda" not in asked["layout"](run.key)
    # The limit is the partition's own.
    slow = site({**H100, "flops": 1e9})
    assert plan_training(finetuning(study, runs[1]), slow).minutes(slow) == 12 * 60
    evaluated = gpu_job(of, on=lambda _: evaluated_on(study, runs[0], of), hours=lambda _: 1.0)
    assert evaluated["slurm_partition"](None) == plan.evaluation_partition[runs[0].key]


def test_a_site_without_cuda_on_one_partition_says_so_to_its_jobs_alone():
    study, of = large({"gpus": 4, "partition": "a100"}), site(A40, A100, H100)
    placements = plan_trainings(study, plan_runs(study)[:1], of)
    assert "--without-cuda" in training_job(of, placements.__getitem__)["layout"](plan_runs(study)[0].key)


@pytest.mark.parametrize(
    ("of", "models"),
    [
        (site(H100, A100, A40), ["a40", "a40"]),  # the smallest that holds it, without prices
        (site(H100, A100), ["a100", "a100"]),
        (site(H100, {**A40, "memory": 20}), ["a40", "h100"]),
        (site({**A100, "memory": 2}, {**A40, "memory": 3}), ["a40", "a40"]),  # holds none: the roomiest
        (site(H100, A100, A40, priced=True), ["a40", "a40"]),
        (site({**H100, "flops": 6e15}, A100, A40, priced=True), ["h100", "h100"]),  # dearer by the hour, cheaper by far
    ],
)
def test_an_evaluation_takes_the_cheapest_gpu_that_holds_it(of: Site, models: list[str]):
    study = large(evaluate={"batch_size": 1})
    assert [evaluated_on(study, run, of).model for run in plan_runs(study)] == models


def test_where_small_runs_share_jobs_an_evaluation_takes_the_gpu_of_its_finetuning():
    study, of = large({"gpus": 4}, evaluate={"batch_size": 1}), site(H100, A100, A40, pack={"runs": 4})
    assert [evaluated_on(study, run, of).model for run in plan_runs(study)] == ["h100", "h100"]
    plan = plan_table(study, NO_RESULTS, of)
    assert list(plan.evaluation_partition) == list(plan.partition)


def test_stage_1_is_placed_as_runs_are():
    study = large({"gpus": 4, "partition": {"1b": "h100"}})
    assert plan_training(alignment(study, "1b"), site(A40, A100, H100)).on.model == "h100"
    assert stage_1(study, site(A40, A100, H100), NO_RESULTS).empty  # its own models, not published ones


def test_the_plan_names_what_it_costs():
    study, of = large({"gpus": 4}), site(A40, A100, H100, priced=True, currency="EUR")
    plan = plan_table(study, NO_RESULTS, of)
    placements = plan_trainings(study, plan_runs(study), of)
    for run, cost in zip(plan_runs(study), plan.cost, strict=True):
        gpu = evaluated_on(study, run, of)
        asks = asked(study, None, UNKNOWN_QUESTIONS)
        evaluation = answering_hours(finetuning(study, run), gpu, asks) * gpu.price
        assert cost == pytest.approx(
            placements[run.key].gpu_hours * placements[run.key].on.price + evaluation, rel=1e-3
        )
    total = f"{plan.cost.sum():.3g}"
    assert f"{total} EUR" in summary(plan).replace(",", "")
    assert sweep_totals(plan).cost[0].endswith("EUR")
    page = plan_page(study, plan, of, NO_RESULTS)
    assert "cost (EUR)" in page
    assert "price of a GPU-hour in EUR: a40 0.5, gpu a100 1, h100,h100-dev 3" in page
    assert Counter(plan.partition) == {"a40": 1, "h100,h100-dev": 1}


def test_a_plan_without_prices_or_choice_says_nothing_of_them():
    study, of = large({"gpus": 4}), Site()
    plan = plan_table(study, NO_RESULTS, of)
    said = plan_page(study, plan, of, NO_RESULTS) + summary(plan) + " ".join(assumptions(study, of))
    assert plan.cost.isna().all()
    for word in ("cost |", "costs", "cheapest GPU", "partition |"):
        assert word not in said.replace("cheapest c ", "")
