"""Any number of processes take the examples of one: each once, in the same steps, with the same losses and weights."""

import itertools
import json

import pytest
import torch

from tests.unit.training.test_batch_plan import in_two_processes, losses
from tests.unit.training.test_finetune import log_of, results, start, study_of, weights  # noqa: F401 (fixtures)
from vlmfrontier.models.video_vlm import IGNORED
from vlmfrontier.study.load import write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training.examples import WithFillers
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, BatchShares, Interrupted


@pytest.mark.parametrize(
    ("examples", "batch", "micro", "processes"),
    list(itertools.product([1, 3, 4, 5, 20, 21, 23], [4, 6], [1, 3], [1, 2, 3, 8])),
)
def test_every_example_is_taken_once_and_in_its_step(examples: int, batch: int, micro: int, processes: int):
    shares = [BatchShares(examples, batch, micro, processes, process) for process in range(processes)]
    taken = [list(share) for share in shares]
    assert {len(parts) for parts in taken} == {len(shares[0])}  # sharded weights are gathered by all together
    assert all(0 < len(part) <= micro for parts in taken for part in parts)
    passes, step = shares[0].passes(batch), 0
    for first in range(0, examples, batch):
        parts = [place for own in taken for part in own[step : step + passes] for place in part]
        assert sorted(p for p in parts if p >= 0) == list(range(first, min(first + batch, examples)))
        step += passes


def test_fillers_supervise_nothing():
    data = WithFillers([{"labels": torch.tensor([IGNORED, 5]).numpy(), "frames": 1}])
    assert data[~0]["labels"].tolist() == [IGNORED, IGNORED]
    assert data[0]["labels"].tolist() == [IGNORED, 5]
    assert data[~0]["frames"] == 1


DRAW = {"T": [1, 2], "V": [1, 4]}


def ragged(start, n: int, **settings):  # noqa: F811
    sweep = {
        "center": {"N": "xs", "T": 2, "V": 4},
        "designs": {"few": {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": n}]}},
    }
    study = study_of(start, **{"batch_size": 4, **settings})
    return type(study).model_validate({**study.model_dump(exclude_defaults=True), "sweep": sweep})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "options", "draw"),
    [(21, [], None), (21, ["--micro-batch", "1"], DRAW), (1, [], None)],
    ids=["ragged", "micro-batches", "fewer than processes"],
)
def test_two_processes_see_the_examples_of_one(start, results, n, options, draw):  # noqa: F811
    study = ragged(start, n, draw=draw)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    alone, single = losses(log_of(results, run.key)), weights(results, run.key)
    write_study(study, results.root / "study.json")
    done = in_two_processes(results, run.key, "--force", "request", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(log_of(results, run.key))[len(alone) :] == pytest.approx(alone, rel=1e-4)
    together = weights(results, run.key)
    # Adam divides by the root of small numbers, which blows rounding up to a share of one step's length.
    assert all(torch.allclose(together[key], single[key], atol=2e-3) for key in single)
    assert json.loads(results.run(run.key).finetuned.read_text())["processes"] == 2


@pytest.mark.slow
def test_two_processes_go_on_where_they_were_stopped(start, results):  # noqa: F811
    study = ragged(start, 21, save_every=1, draw=DRAW)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    alone, single = losses(log_of(results, run.key)), weights(results, run.key)
    with pytest.raises(Interrupted):
        finetune(study, run, results, BatchPlan(stop_at=0.0), force="request")
    write_study(study, results.root / "study.json")
    done = in_two_processes(results, run.key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(results.run(run.key).finetuned.read_text())["resumed_at"] == 1
    assert losses(log_of(results, run.key))[len(alone) :] == pytest.approx(alone, rel=1e-4)
    together = weights(results, run.key)
    assert all(torch.allclose(together[key], single[key], atol=2e-3) for key in single)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "draw"), [(21, DRAW), (1, None)])
def test_two_processes_that_share_weights_see_the_examples_of_one(start, results, n, draw):  # noqa: F811
    study = ragged(start, n, sharding="fsdp2", draw=draw)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    alone = losses(log_of(results, run.key))
    write_study(study, results.root / "study.json")
    done = in_two_processes(results, run.key, "--micro-batch", "1", "--force", "together")
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(log_of(results, run.key))[len(alone) :] == pytest.approx(alone, rel=1e-4)
