"""The paper's study: its 88 runs with the published costs, on the GPUs it names, and the models' published sizes."""

from pathlib import Path

import pandas as pd
import pytest

from vlmfrontier.cluster.site import GIB, Site
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.plan import plan_table
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import alignment, finetuning

ROOT = Path(__file__).parents[3]
PAPER, GENERATED = (ROOT / "workflow/studies" / f"{name}.yaml" for name in ("paper", "paper-generated"))
PUBLISHED = pd.read_csv(ROOT / "benchmarks/paper_grid.csv")
"""Table 6 with c by the published formula."""


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study([PAPER])


def test_the_runs_are_those_of_table_6_with_the_published_costs(study):
    runs = pd.DataFrame(plan_runs(study))
    assert len(runs) == len(PUBLISHED) == 88
    assert list(runs.sweeps.str[0]) == list(PUBLISHED.sweep)
    for column in ("N", "T", "V", "n"):
        assert list(runs[column]) == list(PUBLISHED[column])
    assert [f"{c / 1e12:.4f}" for c in runs.c] == [f"{c:.4f}" for c in PUBLISHED.c_TFLOPs]
    assert runs.key[2] == "N7.5B_T32_V196_n250k_s0"


def test_the_star_is_generated_as_published_and_rivals_within_three_percent(study):
    generated = pd.DataFrame(plan_runs(load_study([GENERATED])))
    star = {run.key for run in plan_runs(study) if run.sweeps == ("star",)}
    assert set(generated.key[generated.sweeps.str[0] == "one_factor"]) == star
    rivals = generated[generated.sweeps.str[0] == "equal_cost"]
    budgets = [2e12, 5e12, 15e12, 30e12]
    nearest = [min(budgets, key=lambda budget: abs(c / budget - 1)) for c in rivals.c]
    assert all(abs(c / budget - 1) <= 0.03 for c, budget in zip(rivals.c, nearest, strict=True))
    assert {sum(b == budget for b in nearest) for budget in budgets} <= set(range(3, 13))


def test_parameters_are_the_published_ones(study):
    """Llama-3.2-1B and 3B (tied) and 3.1-8B without the input embedding; SoViT-400m without its pooling head."""
    models = study.models
    assert models.vision.parameters == 412_987_248
    assert models.vision.features == 729
    assert models.language["1B"].parameters == 973_146_112
    assert models.language["3B"].parameters == 2_818_747_392
    assert models.language["8B"].parameters == 8_030_261_248 - 128_256 * 4_096
    assert [model.N for model in models.language.values()] == [1.0e9, 2.8e9, 7.5e9]


def test_every_run_fits_and_the_largest_on_eight_gpus_of_80_gb(study):
    plan = plan_table(study, Path("no-results"), Site())
    assert (plan.status == "missing").all()
    assert (plan.memory_gib <= 80).all()
    assert (plan.micro_batch * plan.accumulation * plan.gpus * plan.nodes == 256).all()
    largest = next(run for run in plan_runs(study) if run.key == "N7.5B_T32_V196_n1M_s0")
    one_node = study.model_copy(update={"execution": study.execution.model_copy(update={"nodes": 1})})
    placed = plan_training(finetuning(one_node, largest), Site())
    assert placed.problem == ""
    # Weights, gradients and two moments of 32 bits each, an eighth of them.
    states = placed.memory.weights + placed.memory.gradients + placed.memory.optimizer
    assert states == pytest.approx(16 * (8_030_261_248 + 412_987_248 + 21_504_000) / 8, rel=0.01)
    for change in ({"sharding": "none"}, {"precision": "fp32", "sharding": "none"}):
        other = one_node.model_copy(update={"finetune": one_node.finetune.model_copy(update=change)})
        refused = plan_training(finetuning(other, largest), Site()).problem
        assert "GiB on a GPU" in refused
        assert "try finetune.sharding: fsdp2" in refused


def test_updates_of_low_rank_need_little_more_than_the_weights(study):
    lora = {"rank": 64, "alpha": 128}
    smaller = Study.model_validate(
        study.model_dump(by_alias=True) | {"finetune": study.finetune.model_dump() | {"lora": lora}}
    )
    run = next(run for run in plan_runs(smaller) if run.key == "N7.5B_T32_V196_n1M_s0")
    assert finetuning(smaller, run).learning < 0.03 * finetuning(study, run).learning
    assert finetuning(smaller, run).flops == pytest.approx(2 / 3 * finetuning(study, run).flops)
    light, full = (plan_training(finetuning(of, run), Site()).memory for of in (smaller, study))
    assert light.optimizer < 0.03 * full.optimizer


@pytest.mark.parametrize("language", ["1B", "3B", "8B"])
def test_stage_1_fits_on_one_node(study, language):
    placed = plan_training(alignment(study, language), Site())
    assert placed.problem == ""
    assert placed.memory.total <= 80 * GIB
    assert placed.nodes == 1
    assert placed.memory.optimizer < GIB  # of the projector alone
