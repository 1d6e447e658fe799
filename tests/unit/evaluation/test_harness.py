"""How lmms-eval is called, and how its ends are told apart: it exits with 0 after most errors."""

import sys
from pathlib import Path

import pytest

from tests.published import END, TEMPLATE, tokenizer
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms import harness
from vlmfrontier.evaluation.lmms.harness import settle_links
from vlmfrontier.evaluation.lmms.job import AnswerJob, Output, answer_key
from vlmfrontier.evaluation.lmms.stages import prompts_hash
from vlmfrontier.files import weights_hash
from vlmfrontier.models.chat import VIDEO_TAG
from vlmfrontier.study.evaluation import LmmsEvalConfig


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def run(text: str, folder: Path, **more) -> Output:
    return harness.run(program(text), {}, folder / "out", **more)


def test_a_missing_environment_is_told_with_the_command_that_builds_it():
    with pytest.raises(UserError, match="no such file; `make lmms-eval-env`"):
        harness.python_of(LmmsEvalConfig(python="nowhere/bin/python"))


def test_an_environment_without_lmms_eval_is_told(tmp_path):
    (tmp_path / "python").symlink_to(sys.executable)
    with pytest.raises(UserError, match="lmms-eval is not installed there"):
        harness.python_of(LmmsEvalConfig(python=str(tmp_path / "python")))


def test_no_results_are_an_error_with_its_last_words(tmp_path):
    with pytest.raises(UserError, match=r"ended without results \(status 0\): ValueError: no such task"):
        run("print('start'); print('ValueError: no such task'); print('bye')", tmp_path)


def test_it_is_ended_when_something_else_failed(tmp_path):
    late = tmp_path / "late"
    with pytest.raises(UserError, match="the judge is gone"):
        run(f"import time; time.sleep(60); open({str(late)!r}, 'w')", tmp_path, failed=lambda: "the judge is gone")
    assert not late.exists()


def test_what_an_earlier_attempt_left_is_not_taken_for_results(tmp_path):
    write = "import pathlib; pathlib.Path({!r}).write_text('{{}}')".format(str(tmp_path / "out/1_results.json"))
    assert run(write, tmp_path).results == {}
    with pytest.raises(UserError, match="ended without results"):
        run("pass", tmp_path)


def variables(tmp_path, monkeypatch, offline=True) -> dict[str, str]:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    (python.parent / "lmms-eval").touch()
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-mine")
    monkeypatch.setenv("NO_PROXY", "elsewhere")
    settings = LmmsEvalConfig(python=str(python))
    return harness.environment(settings, tmp_path / "home", "http://127.0.0.1:1/v1", tmp_path / "job.json", offline)


def test_lmms_eval_is_offline_and_never_sees_the_key(tmp_path, monkeypatch):
    given = variables(tmp_path, monkeypatch)
    assert "secret-of-mine" not in " ".join(given.values())
    assert given["HF_HUB_OFFLINE"] == given["HF_DATASETS_OFFLINE"] == "1"
    assert given["HF_HOME"] == str(tmp_path / "home")
    assert given["LMMS_EVAL_DATASETS_CACHE"].startswith(given["HF_HOME"])
    assert given["NO_PROXY"] == "127.0.0.1,localhost,elsewhere"
    assert given["https_proxy"] == "http://127.0.0.1:9"


def test_fetching_is_not_offline(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    given = variables(tmp_path, monkeypatch, offline=False)
    assert not {"HF_HUB_OFFLINE", "https_proxy"} & set(given)


def test_a_link_that_lmms_eval_would_make_again_becomes_a_folder(tmp_path):
    snapshot, home = tmp_path / "snapshot", tmp_path / "home"
    (snapshot / "star").mkdir(parents=True)
    (snapshot / "star/video.mp4").write_text("frames")
    (home / "videomme").mkdir(parents=True)
    (home / "mvbench_video").symlink_to(snapshot)
    for _ in range(2):
        settle_links(home)
        assert not (home / "mvbench_video").is_symlink()
        assert (home / "mvbench_video/star/video.mp4").read_text() == "frames"
    assert list((home / "videomme").iterdir()) == []


JOB = AnswerJob("m", "w", 8, 16, {"long_videos": "whole", "min_fps": 1.0}, 60.0, "fp32", 20, "v", "a")


def test_an_answer_is_known_by_everything_that_decides_it():
    def key(job: AnswerJob = JOB, video: str = "v.mp4", size: int = 1, prompt: str = "p", longest: int = 4) -> str:
        return answer_key(job, video, size, prompt, longest)

    others = [AnswerJob(**{**vars(JOB), **c}) for c in ({"weights": "x"}, {"T": 4}, {"V": 4}, {"precision": "bf16"})]
    others += [AnswerJob(**{**vars(JOB), "rule": {"long_videos": "start", "min_fps": 1.0}})]
    others += [AnswerJob(**{**vars(JOB), "prompts": "x"})]
    keys = [key(), *map(key, others), key(video="w.mp4"), key(size=2), key(prompt="q"), key(longest=5)]
    assert len(set(keys)) == len(keys)
    # Where files lie and how long is waited decides nothing.
    assert key(AnswerJob(**{**vars(JOB), "model": "n", "answers": "b", "timeout": 1.0, "recorded": True})) == key()


def test_answers_of_another_template_or_stop_are_not_taken(tmp_path):
    def saved(name: str, template: str = TEMPLATE, eos: str = END, config: str = "{}") -> str:
        words = tokenizer(template)
        words.add_tokens([VIDEO_TAG], special_tokens=True)
        words.eos_token = eos
        words.save_pretrained(tmp_path / name)
        (tmp_path / name / "config.json").write_text(config)
        return prompts_hash(tmp_path / name)

    other = TEMPLATE.replace("Today Date", "Date")
    assert saved("one") == saved("the same")
    assert len({saved("one"), saved("b", other), saved("c", eos="<|begin_of_text|>"), saved("d", config="{ }")}) == 4


def test_weights_are_known_by_all_their_files(tmp_path):
    (tmp_path / "model-1.safetensors").write_bytes(b"one")
    (tmp_path / "model-2.safetensors").write_bytes(b"two")
    before = weights_hash(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert weights_hash(tmp_path) == before
    (tmp_path / "model-2.safetensors").write_bytes(b"three")
    assert weights_hash(tmp_path) != before
