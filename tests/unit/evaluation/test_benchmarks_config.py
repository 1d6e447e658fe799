"""Which benchmarks a study is tested on, as its configuration says."""

from pathlib import Path

import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import answer_fingerprint, evaluate_fingerprint
from vlmfrontier.tasks import BENCHMARKS, PAPER_TASKS

ROOT = Path(__file__).parents[3]


def study(**evaluate) -> Study:
    return load_study([ROOT / "config.yaml"], {"evaluate": evaluate})


def mistakes(**evaluate) -> str:
    with pytest.raises(UserError) as raised:
        study(**evaluate)
    return str(raised.value)


def test_the_tasks_are_the_targets_and_their_mean_the_last():
    assert study().targets() == [*study().data.tasks, "avg"]
    assert study(harness="lmms-eval").targets() == [*PAPER_TASKS, "avg"]


def test_a_task_is_a_name_that_is_known_or_a_name_and_what_its_metric_is():
    own = {"tasks": ["my_a", "my_b"], "metric": "exact_match", "best": 1}
    tasks = study(harness="lmms-eval", lmms_eval={"tasks": {"mine": own, "MV": "mvbench"}}).evaluate.lmms_eval.tasks
    assert [(m.leaf, m.metric, m.best) for m in tasks["mine"].benchmark.measures] == [
        ("my_a", "exact_match", 1),
        ("my_b", "exact_match", 1),
    ]
    assert len(tasks["MV"].benchmark.measures) == 20


def test_half_a_wrong_answer_is_one_of_the_smallest_benchmark():
    assert study().evaluate.fewest_questions is None
    assert study(harness="lmms-eval").evaluate.fewest_questions == BENCHMARKS["video_dc499"].questions == 499
    assert study(harness="lmms-eval", lmms_eval={"limit": 20}).evaluate.fewest_questions == 20


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("videome", "did you mean 'videomme'?"),
        ({"tasks": ["videomme"], "best": 1}, "metric, best and judged of videomme are known; take them out"),
        ({"tasks": []}, "must not be empty"),
    ],
)
def test_a_task_that_cannot_be_scored_is_refused_with_its_name(task, message):
    assert "evaluate.lmms_eval.tasks.mine" in mistakes(lmms_eval={"tasks": {"mine": task}})
    assert message in mistakes(lmms_eval={"tasks": {"mine": task}})


def test_a_task_may_not_be_called_as_the_mean():
    assert "cannot name a task" in mistakes(lmms_eval={"tasks": {"avg": "videomme"}})


def test_benchmarks_change_nothing_for_a_study_that_does_not_use_them():
    changed = study(lmms_eval={"judge": {"model": "other"}, "limit": 3, "tasks": {"mine": "videomme"}})
    assert evaluate_fingerprint(changed) == evaluate_fingerprint(study())


def test_another_judge_rates_again_and_answers_nothing_again():
    one, other = (study(harness="lmms-eval", lmms_eval={"judge": {"model": name}}) for name in ("a", "b"))
    assert evaluate_fingerprint(one) != evaluate_fingerprint(other)
    assert answer_fingerprint(one) == answer_fingerprint(other)


def test_how_the_judge_is_reached_rates_nothing_again():
    moved = {"judge": {"url": "http://localhost:1", "key": None, "timeout": 5, "retries": 1, "concurrency": 2}}
    one, other = study(harness="lmms-eval"), study(harness="lmms-eval", lmms_eval=moved)
    assert evaluate_fingerprint(one) == evaluate_fingerprint(other)


def test_the_eight_tasks_are_those_of_table_5():
    judged = {name for name in PAPER_TASKS if BENCHMARKS[PAPER_TASKS[name]].judged}
    assert judged == {"VDC", "AQA", "VCG"}
    assert len(PAPER_TASKS) == len(set(PAPER_TASKS.values())) == 8
