"""The stages of lmms-eval at several T and V; a program of a few lines stands for it, and leaves what it leaves."""

import json
import sys
from pathlib import Path

import pytest

from tests.calling import ROOT
from tests.made_benchmarks import made_model, made_tokenizer
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms.stages import answer, score
from vlmfrontier.files import weights_hash
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.outdated import Identity
from vlmfrontier.sweep.runs import find_run

RUN = "N13.9k_T8_V16_n400_s0"
PROGRAM = """#!{python}
import json, os, pathlib, sys
job = json.load(open(os.environ["VLMFRONTIER_JOB"]))
out = pathlib.Path(sys.argv[sys.argv.index("--output_path") + 1])
called = pathlib.Path({called!r})
called.open("a").write(f"{{job['T']}} {{job['V']}}\\n")
if (called.parent / "broken").exists() and job["T"] == 4:
    sys.exit("Error: no space")
answers = pathlib.Path(job["answers"])
answers.with_name("environment.json").write_text('{{"device": "cpu"}}')
scores = [job["T"] / 8 * 10, job["V"] / 16 * 10]
with answers.open("a") as file:
    for i, value in enumerate(scores):
        line = dict(task="mine", doc_id=i, video=f"{{i}}.mp4", prompt=f"q{{i}}", answer=str(value))
        line |= dict(weights=job["weights"], key=f"{{job['T']}} {{job['V']}} {{i}}", visual_tokens=job["T"] * job["V"])
        file.write(json.dumps(line) + "\\n")
samples = [dict(doc_id=i, target="t", share=value) for i, value in enumerate(scores)]
(out / "1_samples_mine.jsonl").write_text("\\n".join(map(json.dumps, samples)))
results = {{"results": {{"mine": {{"share,none": sum(scores) / 2}}}}, "n-samples": {{"mine": {{"effective": 2}}}}}}
(out / "1_results.json").write_text(json.dumps(results))
"""


def study(folder: Path, T: list[int], keep_model: bool = True) -> Study:
    own = {"tasks": ["mine"], "metric": "share", "best": 10}
    settings = {"python": str(folder / "bin/python"), "benchmarks": str(folder / "home"), "tasks": {"MINE": own}}
    evaluate = {"harness": "lmms-eval", "lmms_eval": settings, "also": {"T": T, "V": [4, 16]}}
    changes = {"study": "made", "evaluate": evaluate, "finetune": {"keep_model": keep_model}}
    return load_study([ROOT / "config.yaml"], changes)


@pytest.mark.slow
def test_each_level_is_answered_and_scored_once(tmp_path: Path):
    called, results = tmp_path / "called", ResultsFolder(tmp_path / "results/made")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "bin/lmms-eval").write_text(PROGRAM.format(python=sys.executable, called=str(called)))
    (tmp_path / "bin/lmms-eval").chmod(0o755)
    few, more = study(tmp_path, [4]), study(tmp_path, [2, 4], keep_model=False)
    run, folder = find_run(few, RUN), results.run(RUN)
    made_model(made_tokenizer(), run.T, run.V).save_pretrained(folder.model)
    made_tokenizer().save_pretrained(folder.model)
    report = {"recipe": {}, "weights": weights_hash(folder.model), "loss": 1.0, "seconds": 1.0}
    folder.finetuned.write_text(json.dumps(report))

    def asked() -> list[str]:
        lines = called.read_text().splitlines()
        called.unlink()
        return lines

    (tmp_path / "broken").touch()
    with pytest.raises(UserError, match="no space"):
        answer(few, run, results)
    (tmp_path / "broken").unlink()
    answer(few, run, results)
    assert asked() == ["4 4", "4 4", "4 16", "8 16"]
    score(few, run, results)
    errors = {at: json.loads(folder.tested(*at).read_text())["errors"]["MINE"]["error"] for at in run.tested}
    assert errors == pytest.approx({(4, 4): 62.5, (4, 16): 25})
    assert json.loads(folder.result.read_text())["errors"]["MINE"]["error"] == 0
    times = {at: folder.tested(*at).stat().st_mtime_ns for at in run.tested}

    wider = find_run(more, RUN)
    (why,) = Identity(more, results.root).of_answers(wider, json.loads(folder.answered.read_text()), report)
    assert why == "not answered at T2_V4, T2_V16"
    answer(more, wider, results)
    assert asked() == ["2 4", "2 16", "8 16"]
    score(more, wider, results)
    assert json.loads(folder.tested(2, 4).read_text())["visual_tokens"] == 8
    assert {at: folder.tested(*at).stat().st_mtime_ns for at in run.tested} == times
    assert Identity(more, results.root).of_tests(wider, report["weights"]) == []
    assert not folder.has_weights  # gone once all levels are scored
