"""Where a run trains: the global batch is kept, what cannot fit is refused, jobs ask for what is said."""

from pathlib import Path

import pytest

from vlmfrontier.cluster.site import GIB, Site
from vlmfrontier.errors import UserError
from vlmfrontier.study.load import validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.jobs import cpu_job, gpu_job, training_job, training_job_on_nodes
from vlmfrontier.sweep.plan import plan_table
from vlmfrontier.sweep.plan_page import plan_page
from vlmfrontier.sweep.resources import plan_training, plan_trainings, refusals
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import finetuning

SITE = Site()
NO_RESULTS = Path("no-results")
LLAMA_1B = {"hidden_size": 2048, "layers": 16, "heads": 32, "intermediate_size": 8192}
LLAMA_8B = {"hidden_size": 4096, "layers": 32, "heads": 32, "intermediate_size": 14336}
SOVIT = {"hidden_size": 1152, "layers": 27, "heads": 16, "intermediate_size": 4304, "image_size": 378, "patch_size": 14}


def study_of(**changes) -> Study:
    sweep = {
        "center": {"N": "m", "T": 8, "V": 16},
        "designs": {"star": {"design": "star", "vary": {"T": [4, 8]}, "n": [400]}},
    }
    return validate({"study": "tiny", "sweep": sweep, **changes})


def large(execution: dict | None = None, batch: int = 32, **changes) -> Study:
    rows = [{"N": name, "T": 32, "V": 196, "n": 800} for name in ("1b", "8b")]
    rates = {"vision": 1e-5, "projector": 1e-4, "language": 1e-5}
    return validate(
        {
            "study": "large",
            "models": {"start": None, "vision": SOVIT, "language": {"1b": LLAMA_1B, "8b": LLAMA_8B}},
            "finetune": {"batch_size": batch, "learning_rates": rates},
            "cost": {"vocabulary": 128256},
            "space": {"N": ["1b", "8b"]},
            "sweep": {"center": {"N": "1b", "T": 32, "V": 196}, "designs": {"few": {"design": "rows", "rows": rows}}},
            "pretrain": {"language": {"learning_rate": 1e-3}, "align": {"learning_rates": rates}},
            "execution": execution or {},
            **changes,
        }
    )


def test_a_small_run_takes_whole_batches_on_one_gpu():
    study = study_of()
    run = plan_runs(study)[0]
    placed = plan_training(finetuning(study, run), SITE)
    assert (placed.gpus, placed.nodes, placed.micro_batch, placed.accumulation) == (1, 1, 8, 1)
    assert not placed.checkpointing
    assert placed.problem == ""
    assert placed.gpu_hours == pytest.approx(finetuning(study, run).flops / (19.5e12 * 0.4) / 3600)
    assert placed.minutes(SITE) == SITE.minutes


def test_micro_batch_and_accumulation_are_solved_so_that_the_batch_stays_and_the_memory_fits():
    study = large({"gpus": {"1b": 4}})
    run = plan_runs(study)[0]
    placed = plan_training(finetuning(study, run), SITE)
    assert placed.micro_batch * placed.accumulation * placed.processes == study.finetune.batch_size
    assert placed.memory.total <= SITE.gpu[0].memory * GIB
    assert placed.accumulation > 1
    roomy = plan_training(finetuning(study, run), Site.model_validate({"gpu": {"memory": 100_000}}))
    assert (roomy.micro_batch, roomy.checkpointing) == (8, False)
    assert placed.flops == pytest.approx(roomy.flops * (4 / 3 if placed.checkpointing else 1))


def test_a_run_that_cannot_fit_is_refused_with_its_parts():
    study = large()
    placements = plan_trainings(study, plan_runs(study), SITE)
    small, big = placements
    assert placements[small].problem == ""
    assert "needs" in placements[big].problem
    assert "optimizer" in placements[big].problem
    assert "a100 has 80" in placements[big].problem
    text = refusals(placements)
    assert big in text
    assert small not in text
    assert refusals({small: placements[small]}) == ""
    plan = plan_table(study, NO_RESULTS, SITE).set_index("run")
    assert (plan.status[small], plan.status[big]) == ("missing", "refused")
    assert plan.reason[big] == placements[big].problem
    # Weights, gradients and two moments of 32 bits each: 16 bytes a parameter.
    states = plan.weights_gib[big] + plan.gradients_gib[big] + plan.optimizer_gib[big]
    assert states * GIB == pytest.approx(16 * 8.4e9, rel=0.1)


@pytest.mark.parametrize(
    ("execution", "batch", "message"),
    [
        ({"gpus": 3}, 8, "finetune.batch_size 8 cannot be shared by 3 GPUs"),
        ({"gpus": 16}, 32, "execution.gpus 16 of one node, which has 8"),
    ],
)
def test_impossible_numbers_of_gpus_are_refused(execution: dict, batch: int, message: str):
    study = large(execution, batch)
    assert message in plan_training(finetuning(study, plan_runs(study)[0]), SITE).problem


def test_a_language_model_that_execution_names_must_exist():
    with pytest.raises(UserError, match=r"execution.nodes.8B = 2: .* 1b, 8b"):
        large({"nodes": {"8B": 2}})


def test_jobs_ask_for_what_the_plan_says():
    study = large({"gpus": 4, "nodes": {"8b": 2}})
    runs = plan_runs(study)
    placements = plan_trainings(study, runs, SITE)
    plan = plan_table(study, NO_RESULTS, SITE).set_index("run")
    for run in runs:
        asked = training_job(SITE, placements.__getitem__)
        row = plan.loc[run.key]
        assert asked["slurm_partition"](run.key) == row.partition
        assert asked["gpu"](run.key) == row.gpus
        assert asked["runtime"](run.key) == row.limit_minutes
        assert asked["mem_mb"](run.key) == row.host_memory_mb
        assert f"--micro-batch {row.micro_batch}" in asked["layout"](run.key)
        assert ("--checkpointing" in asked["layout"](run.key)) == row.checkpointing
    spread = training_job_on_nodes(SITE, placements.__getitem__)
    assert "gpu" not in spread
    assert spread["nodes"](runs[1].key) == 2
    assert spread["slurm_extra"](runs[1].key) == "--ntasks-per-node=1 --gpus-per-node=a100:4"


def test_no_rule_asks_for_tasks_or_groups_on_one_node():
    """`tasks` of a GPU job would become --ntasks-per-gpu; a group's jobs would share one GPU."""
    placed = plan_training(finetuning(study_of(), plan_runs(study_of())[0]), SITE)
    one_gpu = gpu_job(SITE, on=lambda _: SITE.gpu[0], hours=lambda _: 1.0)
    for job in (one_gpu, training_job(SITE, lambda _: placed), cpu_job(SITE, hours=lambda _: 1.0)):
        asked = {key: value(None) if callable(value) else value for key, value in job.items()}
        assert not {"tasks", "nodes", "mpi", "gres"} & set(asked)
        assert asked["slurm_extra"] is None
    assert cpu_job(None, lambda _: 0.0) == gpu_job(None, lambda _: SITE.gpu[0], lambda _: 0.0) == {}
    assert training_job(None, lambda _: placed)["layout"](None) == ""


def test_a_training_longer_than_the_limit_is_counted_in_several_jobs():
    study = study_of()
    run = plan_runs(study)[0]
    hours = plan_training(finetuning(study, run), SITE).gpu_hours
    slow = Site.model_validate({"gpu": {"flops": SITE.gpu[0].flops * hours / 100}})  # a hundred hours
    placed = plan_training(finetuning(study, run), slow)
    assert placed.hours == pytest.approx(100)
    assert placed.minutes(slow) == 48 * 60
    assert placed.jobs(slow) == 3


def test_the_page_states_utilization_and_totals():
    study = study_of()
    page = plan_page(study, plan_table(study, NO_RESULTS, SITE), SITE)
    assert "GPU-hours are for a100 at 40% of its peak of 19.5 TFLOPs per second" in page
    assert "GPU-hours left" in page
