"""From lmms-eval's files to errors: on files that a real lmms-eval left (recorded; test_lmms_eval.py compares them)."""

import copy
import json
from pathlib import Path

import pytest

from tests.made_benchmarks import write_recorded
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms.job import GivenAnswer, Output, read_answers, score_task
from vlmfrontier.evaluation.lmms.stages import check_videos
from vlmfrontier.evaluation.result import task_errors
from vlmfrontier.study.evaluation import LmmsEvalConfig
from vlmfrontier.tasks import BENCHMARKS, PAPER_TASKS, own_benchmark

RECORDED = json.loads((Path(__file__).parent / "recorded/lmms_eval.json").read_text())


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, int], GivenAnswer]:
    return {(a["task"], a["doc_id"]): GivenAnswer(**a) for a in RECORDED["answers"]}


@pytest.fixture
def output(tmp_path):
    def write(name: str, change=lambda record: None) -> Output:
        record = copy.deepcopy(RECORDED[name])
        change(record)
        write_recorded(record, tmp_path / name)
        return Output(tmp_path / name)

    return write


def stage(task: str) -> str:
    return "rated" if BENCHMARKS[PAPER_TASKS[task]].judged else "answered"


def score(task: str, output: Output, answers) -> list[dict]:
    return score_task(task, BENCHMARKS[PAPER_TASKS[task]], output, answers)


# What the questions of made_benchmarks are worth when all are answered A, but for the two answers that were changed.
EXPECTED = {
    "VDC": 70.0,
    "AQA": 50.0,
    "VCG": 78.0,
    "LVB": 50.0,
    "PT": 0.0,
    "MV": 50.0,
    "VMME": 50.0,
    "NQA": 25.0,
}


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_every_task_becomes_an_error_of_0_to_100(task, output, answers):
    records = score(task, output(stage(task)), answers)
    assert task_errors([task], {task: records})[task]["error"] == pytest.approx(EXPECTED[task])
    assert all(record["video"].endswith(".mp4") and not record["video"].startswith("/") for record in records)


@pytest.mark.parametrize(
    "task", sorted(PAPER_TASKS.keys() - {"PT"})
)  # two of its questions are about a video that is gone
def test_the_error_is_100_minus_what_lmms_eval_reports(task, output, answers):
    benchmark, results = BENCHMARKS[PAPER_TASKS[task]], RECORDED[stage(task)]["results"]
    shares = [results[m.leaf][f"{m.metric},none"] / m.best for m in benchmark.measures]
    if task == "MV":  # lmms-eval counts the one question of this part that has an answer
        shares[[m.leaf for m in benchmark.measures].index("mvbench_action_antonym")] /= 2
    records = score(task, output(stage(task)), answers)
    error = task_errors([task], {task: records})[task]["error"]
    assert error == pytest.approx(100 * (1 - sum(shares) / len(shares)))


def test_an_empty_answer_is_wrong_here_and_left_out_there(output, answers):
    told = RECORDED["answered"]["results"]["mvbench_action_antonym"]["mvbench_accuracy,none"]
    own = [r for r in score("MV", output("answered"), answers) if r["id"].startswith("mvbench_action_antonym/")]
    assert told == 100
    assert [(r["answer"], r["score"]) for r in own] == [("A", 1), ("", 0)]


def test_an_answer_about_two_questions_keeps_both(output, answers):
    pairs = [r for r in score("VCG", output("rated"), answers) if "consistency" in r["measure"]]
    assert [r["question"] for r in pairs] == [[f"What is shown {i}", f"What is shown {i} again"] for i in range(2)]


def test_questions_about_unreadable_videos_are_left_out(output, answers):
    records = score("PT", output("answered"), answers)
    assert [r["id"] for r in records] == ["perceptiontest_val_mc/0", "perceptiontest_val_mc/2"]


def test_missing_samples_are_an_error(output, answers):
    def lose_one(record):
        record["samples"]["videomme"].pop()

    with pytest.raises(UserError, match="videomme: 3 scores of 4 questions"):
        score("VMME", output("answered", lose_one), answers)


def test_a_missing_pair_is_an_error(output, answers):
    def lose_one(record):
        record["submissions"]["gpt_eval_result_videochatgpt_consistency"].pop()

    with pytest.raises(UserError, match="videochatgpt_consistency: 1 scores of 4 questions"):
        score("VCG", output("rated", lose_one), answers)


def test_a_trial_of_some_questions_does_without_pairs_that_it_has_not(output, answers):
    def lose_one(record):
        kept = record["submissions"]["gpt_eval_result_videochatgpt_consistency"]
        kept.pop()
        record["results"]["videochatgpt_consistency"]["gpt_eval_score_consistency,none"] = kept[0]["score"]

    benchmark = BENCHMARKS[PAPER_TASKS["VCG"]]
    records = score_task("VCG", benchmark, output("rated", lose_one), answers, limited=True)
    assert sum("consistency" in record["measure"] for record in records) == 1


def test_a_task_without_results_is_an_error(output, answers):
    def lose_all(record):
        del record["n-samples"]["videomme"]

    with pytest.raises(UserError, match="videomme: lmms-eval has no results of it"):
        score("VMME", output("answered", lose_all), answers)


def test_samples_that_disagree_with_the_aggregate_are_an_error(output, answers):
    def change(record):
        record["results"]["videomme"]["videomme_perception_score,none"] = 75.0

    with pytest.raises(UserError, match=r"videomme_perception_score = 75.0, .* 50;"):
        score("VMME", output("answered", change), answers)


def test_a_score_beyond_its_best_is_an_error(output, answers):
    def change(record):
        record["samples"]["video_dc499"][0]["gpt_eval_score"]["score"] = 9

    with pytest.raises(UserError, match="not of 0 to best"):
        score("VDC", output("rated", change), answers)


def test_an_answer_of_other_weights_is_no_answer(output, tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(a) + "\n" for a in RECORDED["answers"]))
    with pytest.raises(UserError, match="videomme: question 0 "):
        score("VMME", output("answered"), read_answers(path, "other"))


def test_a_benchmark_of_ones_own_is_scored_by_its_metric(output, answers):
    own = own_benchmark(["nextqa_mc_test"], "exact_match", 1, judged=False, questions=None)
    records = score_task("mine", own, output("answered"), answers)
    assert [r["score"] for r in records] == [1, 1, 1, 0]
    assert {r["task"] for r in records} == {"mine"}


def test_too_many_unreadable_videos_are_an_error(answers):
    with pytest.raises(UserError, match=r"PT: 1 of 2 videos .* perceptiontest_val/videos/made_1.mp4"):
        check_videos(LmmsEvalConfig(), answers)
    assert list(check_videos(LmmsEvalConfig(unreadable=0.5), answers)) == ["perceptiontest_val/videos/made_1.mp4"]
