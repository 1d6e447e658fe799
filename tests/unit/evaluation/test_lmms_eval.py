"""A run through the real lmms-eval: its eight real tasks over made data, a real judge server, real weights.

Needs its environment (`make lmms-eval-env`, or VLMFRONTIER_LMMS_EVAL_PYTHON=…/bin/python); skipped without one. What
lmms-eval leaves is compared with the recording that the fast tests of the scores read (recorded/lmms_eval.json); with
VLMFRONTIER_RECORD=1 the recording is written anew.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.made_benchmarks import (
    LMMS_EVAL,
    made_judge,
    made_model,
    made_tokenizer,
    needs_lmms_eval,
    recorded,
    write_benchmarks,
    write_own_task,
)
from tests.made_judge import Judge, judging
from tests.made_videos import VIDEOS, write_sources
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms.harness import fetch
from vlmfrontier.evaluation.lmms.stages import answer, score
from vlmfrontier.evaluation.result import drop_weights
from vlmfrontier.files import read_lines, weights_hash
from vlmfrontier.paths import ResultsFolder, RunFolder
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.study.root import Study
from vlmfrontier.study.space import VideoLevels
from vlmfrontier.sweep.runs import Run, find_run
from vlmfrontier.tasks import PAPER_TASKS

ROOT = Path(__file__).parents[3]
RECORDED = Path(__file__).parent / "recorded/lmms_eval.json"
RUN = "N13.9k_T8_V16_n400_s0"

pytestmark = [pytest.mark.slow, needs_lmms_eval]


@dataclass
class Outcome:
    """A run that was answered, changed, answered again, rated, and rated again without judge and weights."""

    first: dict
    second: dict
    asked: int
    result: dict
    judge: Judge
    again: dict
    down: str
    folder: RunFolder


def study(home: Path, url: str = "http://127.0.0.1:9/v1", **more) -> Study:
    own = {"tasks": ["mine"], "metric": "share", "best": 10}
    tasks = {**PAPER_TASKS, "MINE": own}
    settings = {
        "python": str(LMMS_EVAL),
        "benchmarks": str(home),
        "judge": judge(url),
        "include_path": str(home / "tasks"),
    }
    settings |= {"tasks": tasks, **more}
    changes = {"harness": "lmms-eval", "max_new_tokens": 8, "lmms_eval": settings}
    return load_study([ROOT / "config.yaml"], {"study": "made", "evaluate": changes})


def judge(url: str) -> dict:
    return {"url": url, "model": "made", "key": None, "retries": 0}


def save_run(results: ResultsFolder, run: Run) -> RunFolder:
    folder, tokenizer = results.run(run.key), made_tokenizer()
    made_model(tokenizer, run.T, run.V).save_pretrained(folder.model)
    tokenizer.save_pretrained(folder.model)
    report = {"recipe": {}, "weights": weights_hash(folder.model), "loss": 1.0, "seconds": 1.0}
    folder.finetuned.write_text(json.dumps(report))
    return folder


def change_answers(path: Path, new: dict[tuple[str, int], str]) -> None:
    answers = list(read_lines(path))
    changed = [{**a, "answer": new.get((a["task"], a["doc_id"]), a["answer"])} for a in answers]
    path.write_text("".join(json.dumps(a) + "\n" for a in changed))


def call(script: str, study: Study, results: ResultsFolder) -> None:
    """Run a script as the workflow does."""
    write_study(study, results.root / "study.json")
    line = [sys.executable, ROOT / "scripts" / script, "--study", results.root / "study.json", "--run", RUN]
    subprocess.run(line, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True)


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> Iterator[Outcome]:
    work = tmp_path_factory.mktemp("lmms-eval")
    home, before = work / "home", Path.cwd()
    results = ResultsFolder(work / "results/made")
    run = find_run(study(home), RUN)
    os.chdir(work)  # where the data sets are
    try:
        write_benchmarks(work, home)
        write_own_task(home / "tasks", home / "videomme/data")
        folder = save_run(results, run)
        call("answer.py", study(home), results)
        first = json.loads(folder.answered.read_text())
        answers = folder.benchmarks / "answers.jsonl"
        asked = len(list(read_lines(answers)))
        # An answer that lmms-eval would not count, one that names an option in another way, and a video that is gone.
        change_answers(answers, {("mvbench_action_antonym", 1): "", ("nextqa_mc_test", 1): "(B)"})
        (home / "perceptiontest_val/videos/made_1.mp4").unlink()
        lenient = {"unreadable": 0.5}
        second = answer(study(home, **lenient), run, results)
        with pytest.raises(UserError) as down:
            score(study(home, **lenient), run, results)
        with judging(made_judge) as server:
            result = score(study(home, server.url, **lenient), run, results)
        drop_weights(folder)
        call("evaluate.py", study(home, server.url, **lenient), results)
        again = json.loads(folder.result.read_text())
        yield Outcome(first, second, asked, result, server, again, str(down.value), folder)
    finally:
        os.chdir(before)


def test_every_question_of_every_task_is_answered_once(tested):
    assert sum(tested.first["questions"].values()) == tested.asked == 4 * 6 + (4 + 2 + 4) + 2 * 20 + 3
    assert tested.first["unreadable"] == {}
    assert tested.first["visual_tokens"] == 8 * 16


def test_answers_of_the_same_weights_are_not_given_again(tested):
    # All but the two questions about the video that is gone.
    assert len(list(read_lines(tested.folder.benchmarks / "answers.jsonl"))) == tested.asked + 2


def test_errors_are_those_of_the_answers(tested):
    errors = {name: value["error"] for name, value in tested.result["errors"].items()}
    expected = {
        "VDC": 100 * (1 - 1.5 / 5),  # questions 0 to 3, rated 0 to 3 of 5
        "AQA": 50,  # odd ones are right
        "VCG": 100 * (1 - (3 * 1.5 + 0.5 + 0.5) / 5 / 5),  # three measures of 0 to 3, two of 0 and 1
        "LVB": 50,
        "PT": 0,  # what is left are questions whose answer is A
        "MV": 50,  # the empty answer is wrong here
        "VMME": 50,
        "NQA": 25,
        "MINE": 30,  # 7 of 10 for each answer
    }
    assert errors == pytest.approx({**expected, "avg": sum(expected.values()) / 9})
    assert tested.result["errors"]["PT"]["questions"] == 2


def test_a_video_that_is_gone_is_named(tested):
    assert list(tested.second["unreadable"]) == ["perceptiontest_val/videos/made_1.mp4"]
    assert tested.result["decode_failures"] == 1


def test_the_judge_is_recorded_and_asked_each_thing_once(tested):
    assert tested.result["judge"]["answered_as"] == ["made-2026"]
    assert tested.result["judge"]["requests"] == len(tested.judge.asked) == 4 + 4 + 3 * 4 + 2 + 2
    assert sum(tested.result["judge"]["prompts"].values()) == len(tested.judge.asked)
    assert len(tested.result["judge"]["prompts"]) == 7 - 1  # one instruction serves VDC and a measure of VCG


def test_without_a_judge_there_is_no_result(tested):
    assert "made at http://127.0.0.1:9/v1/chat/completions gave no score for an answer" in tested.down


def test_a_second_rating_needs_neither_judge_nor_weights_and_says_the_same(tested):
    timings = {"seconds", "provenance"}
    one, two = ({k: v for k, v in r.items() if k not in timings} for r in (tested.result, tested.again))
    assert json.dumps(one) == json.dumps(two)  # as text: the standard error of one video is NaN


def test_what_ran_is_recorded(tested):
    assert tested.result["provenance"]["versions"]["lmms-eval"] == "0.7.3"


def test_the_recording_is_what_lmms_eval_leaves(tested):
    now = {name: recorded(tested.folder.benchmarks / name) for name in ("answered", "rated")}
    answers = read_lines(tested.folder.benchmarks / "answers.jsonl")
    now["answers"] = [{**a, "unreadable": a["unreadable"] and "missing"} for a in answers]
    if os.environ.get("VLMFRONTIER_RECORD"):
        RECORDED.parent.mkdir(exist_ok=True)
        RECORDED.write_text(json.dumps(now, indent=1) + "\n")
    # What stands where, not what it is: answers of a small model differ between machines in their rounding.
    then = json.loads(RECORDED.read_text())
    assert places(now["rated"]) == places(then["rated"])
    assert places(now["answered"]) == places(then["answered"])


def places(value: object, path: str = "") -> set[str]:
    """Return the paths of all keys in nested maps and lists."""
    if isinstance(value, dict):
        return {path}.union(*(places(item, f"{path}/{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {path}.union(*(places(item, f"{path}/*") for item in value))
    return {path}


FRAMES = """
import hashlib, sys
from pathlib import Path
from vlmfrontier.data.video import read_frames
from vlmfrontier.models.vision import resize
for path in sys.argv[1:]:
    print(hashlib.sha256(resize(read_frames(Path(path), 5), 32)).hexdigest())
"""


def test_frames_are_those_of_the_training_whatever_the_codec(tmp_path):
    write_sources(tmp_path)
    videos = sorted(str(tmp_path / "videos" / video.name) for video in VIDEOS)
    ours, theirs = (
        subprocess.run([python, "-c", FRAMES, *videos], env=environment, capture_output=True, text=True, check=True)
        for environment in [{"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}]
        for python in (sys.executable, str(LMMS_EVAL))
    )
    assert len(ours.stdout.split()) == len(VIDEOS)
    assert theirs.stdout == ours.stdout


def test_fetching_counts_questions_and_videos(tested, tmp_path, monkeypatch):
    work = tested.folder.root.parents[3]
    monkeypatch.chdir(work)

    def found(questions: int) -> dict:
        task = {"tasks": ["perceptiontest_val_mc"], "questions": questions}
        return fetch(study(work / "home", unreadable=0.5, tasks={"PT": task}), ResultsFolder(tmp_path), offline=True)

    assert found(4) == {"PT": {"questions": 4, "videos": 2, "missing": 1}}
    with pytest.raises(UserError, match=r"PT: .* 4 questions, not 5"):
        found(5)


def test_answers_with_other_tokens_beside_are_those_of_a_run_alone(tmp_path: Path, monkeypatch):
    home, own = tmp_path / "home", {"MINE": {"tasks": ["mine"], "metric": "share", "best": 10}}
    monkeypatch.chdir(tmp_path)
    write_benchmarks(tmp_path, home)
    write_own_task(home / "tasks", home / "videomme/data")
    given = {}
    for name, also in (("both", VideoLevels(T=[8], V=[4])), ("alone", None)):
        one = study(home, tasks=own)
        one = one.model_copy(update={"evaluate": one.evaluate.model_copy(update={"also": also})})
        results, run = ResultsFolder(tmp_path / name), find_run(one, RUN)
        folder = save_run(results, run)
        answer(one, run, results)
        files = sorted(folder.benchmarks.rglob("answers.jsonl"))
        given[name] = {path.parent.name: list(read_lines(path)) for path in files}
    assert given["both"]["benchmarks"] == given["alone"]["benchmarks"]
    assert [each["visual_tokens"] for each in given["both"]["T8_V4"]] == [32] * 3
