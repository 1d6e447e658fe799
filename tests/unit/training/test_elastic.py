"""Elastic finetuning: each step has one T and V, whoever takes its examples and wherever the training went on."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from tests.unit.training.test_batch_plan import losses
from tests.unit.training.test_finetune import log_of, results, same, start, study_of, weights  # noqa: F401 (fixtures)
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.study.load import validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.points import Drawn
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.training.examples import VideoConversations, level_of
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, Interrupted

DRAW = {"T": [1, 2, 4], "V": [1, 4, 9, 16]}


def elastic(start, draw: dict | None = DRAW, **settings) -> tuple[Study, Run]:  # noqa: F811
    """Return a study of one run, with five steps and one that is not full, and the run."""
    given = study_of(start, batch_size=4, **settings).model_dump(exclude_defaults=True)
    rows = [{"N": "xs", "T": 4, "V": 16, "n": 21}]
    given["sweep"] = {"designs": {"few": {"design": "rows", "rows": rows}}}
    study = validate({**given, "finetune": {**given["finetune"], "draw": draw}})
    return study, plan_runs(study)[0]


def shapes(run: Run, steps: int, seed: int = 0) -> list[tuple[int, int]]:
    """Return T and V of the first steps of a run."""
    examples = VideoConversations(None, [], [], None, batch_size=4, seed=seed, levels=run.levels, independent=True)
    return [tuple(examples.shape_of(step)) for step in range(steps)]


@pytest.fixture
def seen(monkeypatch) -> list[tuple[int, ...]]:
    """What the models of this test see: examples, T and V of each pass."""
    passes, original = [], VideoVLM.encode_video

    def encode(self, pixel_values, tokens_per_frame=None):
        visual = original(self, pixel_values, tokens_per_frame)
        count, frames = pixel_values.shape[:2]
        passes.append((count, frames, visual.shape[1] // frames))
        return visual

    monkeypatch.setattr(VideoVLM, "encode_video", encode)
    return passes


@pytest.mark.parametrize("levels", [[7], [1, 2], [1, 2, 4, 8, 16], list(range(1, 33))])
def test_every_level_is_drawn_equally_often_and_in_every_place(levels):
    rounds = [[level_of(len(levels) * r + i, levels, [0, 3]) for i in range(len(levels))] for r in range(200)]
    assert all(sorted(drawn) == levels for drawn in rounds)
    firsts = Counter(drawn[0] for drawn in rounds)
    # 200 draws of a uniform level: five standard errors, and a chance of 2e-3 never to see one of 32.
    mean = 200 / len(levels)
    assert all(abs(firsts[level] - mean) <= 5 * max(mean, 1) ** 0.5 for level in levels)


def test_T_and_V_are_drawn_apart_and_by_the_seed(start):  # noqa: F811
    run = elastic(start)[1]
    pairs = Counter(shapes(run, 1200))
    assert set(pairs) == {(T, V) for T in DRAW["T"] for V in DRAW["V"]}
    assert min(pairs.values()) > 70  # of 100 each; standard error below 10
    assert shapes(run, 30) == shapes(run, 60)[:30]
    assert shapes(run, 30) != shapes(run, 30, seed=1)
    assert [T for T, _ in shapes(replace(run, draw=Drawn((1, 2, 4), (16,))), 30)] == [T for T, _ in shapes(run, 30)]
    assert set(shapes(replace(run, draw=None), 30)) == {(4, 16)}


@pytest.mark.parametrize("micro", [None, 2, 1])
def test_a_step_has_the_T_and_V_that_were_drawn_in_every_micro_batch(start, results, seen, micro):  # noqa: F811
    study, run = elastic(start)
    report = finetune(study, run, results)
    whole, alone = list(seen), losses(log_of(results, run.key))
    expected = shapes(run, 6)
    assert report["steps"] == 6
    assert whole == [(4, *shape) for shape in expected[:5]] + [(1, *expected[5])]
    assert json.loads((results.run(run.key).model / "config.json").read_text())["tokens_per_frame"] == run.V == 16
    assert report["recipe"]["run"]["draw"] == DRAW
    if micro is None:
        return
    seen.clear()
    finetune(study, run, results, BatchPlan(micro_batch=micro), force="request")
    assert seen == [(micro, *shape) for shape in expected[:5] for _ in range(4 // micro)] + [(1, *expected[5])]
    assert losses(log_of(results, run.key))[len(alone) :] == pytest.approx(alone, rel=1e-4)


def test_stopped_after_every_step_it_ends_bit_equal(start, results):  # noqa: F811
    study, run = elastic(start)
    finetune(study, run, results)
    whole = weights(results, run.key)
    for step in range(1, 6):
        with pytest.raises(Interrupted, match=f"at step {step}, "):
            finetune(study, run, results, BatchPlan(stop_at=0.0), force="request")
    assert finetune(study, run, results, force="request")["resumed_at"] == 5
    assert same(whole, weights(results, run.key))


def test_other_draws_are_another_training(start, results):  # noqa: F811
    study, run = elastic(start)
    first = finetune(study, run, results)["weights"]
    other, again = elastic(start, draw={"T": [1, 4], "V": [1, 16]})
    assert again.key == run.key == "N13.9k_T1-4_V1-16_n21_s0"
    assert finetune(other, again, results)["weights"] != first
    fixed, alone = elastic(start, draw=None)
    assert alone.key == "N13.9k_T4_V16_n21_s0"
    assert finetune(fixed, alone, results)["weights"] != first
