"""A finetuned model is tested at many T and V in one job: the answers of one job each, resumed where it was killed."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.training.test_finetune import start, study_of  # noqa: F401 — a fixture
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation import evaluate as stage
from vlmfrontier.evaluation.evaluate import evaluate
from vlmfrontier.files import write_json
from vlmfrontier.laws.noise import kept_noise
from vlmfrontier.laws.runs_file import read_runs
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import merge, validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import collect, describe
from vlmfrontier.sweep.fingerprints import data_settings, run_settings
from vlmfrontier.sweep.outdated import Identity, outdated_runs
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.status import run_status
from vlmfrontier.training.finetune import finetune

OWN, LEVELS = (2, 4), [(1, 1), (1, 4), (2, 1)]
ROW = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": 8}]}


def study(start: Path, **changes) -> Study:  # noqa: F811
    own = {"sweep": {"designs": {"few": ROW}}, "evaluate": {"control_videos": 4, "batch_size": 4}}
    made = study_of(start).model_dump(mode="json", by_alias=True)
    return validate(merge(merge(made, own), changes))


def ladder(start: Path, **changes) -> Study:  # noqa: F811
    also = {"also": {"T": [1, 2], "V": [1, 4]}, **changes}
    return study(start, evaluate=also)


def only(made: Study) -> Run:
    (run,) = plan_runs(made)
    return run


@pytest.fixture(scope="module")
def trained(start, small_results, tmp_path_factory) -> ResultsFolder:  # noqa: F811
    """A run that was finetuned, tested at its own T and V only."""
    folder = tmp_path_factory.mktemp("levels") / "small"
    folder.mkdir()
    (folder / "data").symlink_to(small_results / "data")
    results, made = ResultsFolder(folder), study(start)
    finetune(made, only(made), results)
    evaluate(made, only(made), results)
    return results


@pytest.fixture
def copied(trained: ResultsFolder, tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(Path(shutil.copytree(trained.root, tmp_path / "small", symlinks=True)))


def measured(path: Path) -> dict:
    found = json.loads(path.read_text())
    return {key: found[key] for key in ("T", "V", "errors", "visual_tokens", "counted_flops", "test")}


@pytest.mark.slow
def test_every_level_is_what_a_job_of_its_own_gives(copied: ResultsFolder, start):  # noqa: F811
    run = only(ladder(start))
    folder, before = copied.run(run.key), json.loads(copied.run(run.key).result.read_text())
    answers = {path.name: path.read_bytes() for path in folder.answers.iterdir()}
    assert set(run.tested) == set(LEVELS)
    assert run_status(folder.root, tested=run.tested).state == "finetuned"
    evaluate(ladder(start), run, copied)
    together = json.loads(folder.result.read_text())
    assert {path.name: path.read_bytes() for path in folder.answers.iterdir()} == answers
    for result in (before, together):
        del result["seconds"], result["provenance"], result["log"]
    assert together == {**before, "tested": [list(at) for at in LEVELS]}
    assert run_status(folder.root, tested=run.tested).state == "done"
    found = {at: measured(folder.tested(*at)) for at in LEVELS}
    assert [(each["T"], each["V"], each["visual_tokens"]) for each in found.values()] == [
        (T, V, T * V) for T, V in LEVELS
    ]
    for T, V in LEVELS:  # alone, as if it were tested there only
        folder.tested(T, V).unlink()
        evaluate(ladder(start, also={"T": [T], "V": [V]}), only(ladder(start, also={"T": [T], "V": [V]})), copied)
        assert measured(folder.tested(T, V)) == found[T, V]


def test_a_killed_job_goes_on_with_the_levels_that_are_missing(copied: ResultsFolder, start, monkeypatch):  # noqa: F811
    made, run = ladder(start), only(ladder(start))
    folder, asked, really = copied.run(run.key), [], stage.answer_all
    folder.result.unlink()  # as Snakemake does before a job

    def killed(model, prompt, split, groups, frames, *given):
        asked.append(frames)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return really(model, prompt, split, groups, frames, *given)

    monkeypatch.setattr(stage, "answer_all", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(made, run, copied)
    there = {at for at in LEVELS if folder.tested(*at).exists()}
    assert there == {(1, 1), (1, 4)}
    assert not folder.result.exists()
    times = {at: folder.tested(*at).stat().st_mtime_ns for at in there}
    evaluate(made, run, copied)
    assert asked == [1, 2, 2, 2]  # one frame is not asked about again; the last is the control
    assert {at: folder.tested(*at).stat().st_mtime_ns for at in there} == times
    assert folder.tested(2, 1).exists()


def known(results: ResultsFolder, made: Study) -> ResultsFolder:
    """Give the data the manifests of the study."""
    data = results.root / "data"
    source = data.resolve()
    data.unlink()
    for split in ("train", "test"):
        (data / split).mkdir(parents=True)
        manifest = json.loads((source / split / "manifest.json").read_text())
        write_json(data / split / "manifest.json", {**manifest, "settings": data_settings(made, split)})
    return results


def test_rows_files_and_identity_of_levels(copied: ResultsFolder, start):  # noqa: F811
    made, run = ladder(start), only(ladder(start))
    evaluate(made, run, copied)
    results = known(copied, made)
    folder, result = results.run(run.key), f"runs/{run.key}/result.json"
    assert run_settings(made, run)["run"]["T"] == 2
    assert outdated_runs(made, [run], results.root).files == {}

    rows, missing = collect(made, results.root)
    assert missing == []
    assert list(zip(rows["T"], rows["V"], rows.T_train, rows.V_train, strict=True)) == [
        (T, V, 2, 4) for T, V in (OWN, *LEVELS)
    ]
    assert set(rows.run) == {run.key}
    rows.to_csv(results.runs_csv, index=False)
    table = read_runs(results.runs_csv, describe(made, rows))
    assert table.names == [run.key, *(f"{run.key}@T{T}_V{V}" for T, V in LEVELS)]
    for target in ("avg", "glyph"):  # what is kept of tests elsewhere gives their standard errors
        noise = kept_noise(made, results, table, target)
        assert noise.runs == tuple(table.names)
        assert noise.covariance.diagonal() ** 0.5 == pytest.approx(rows[f"{target}_se"].to_numpy(), abs=1e-4)

    fewer = ladder(start, also={"T": [1], "V": [1]})
    assert outdated_runs(fewer, [only(fewer)], results.root).files == {}

    folder.tested(1, 1).unlink()
    assert outdated_runs(made, [run], results.root).files == {result: ["not tested at T1_V1"]}
    rows, missing = collect(made, results.root)
    assert (len(rows), missing) == (len(LEVELS), [f"{run.key}@T1_V1"])
    other = json.loads(folder.tested(1, 4).read_text())
    other["recipe"]["evaluate"]["max_new_tokens"] = 3
    write_json(folder.tested(1, 4), other)
    (why,) = outdated_runs(made, [run], results.root).files[result][1:]
    assert why == "tested/T1_V4.json: evaluate.max_new_tokens: 3 when it was tested, 20 now"
    with pytest.raises(UserError, match=r"tested/T1_V4.json: evaluate.max_new_tokens: 3"):
        collect(made, results.root)
    folder.tested(1, 4).write_text("{")
    assert any("damaged" in why for why in outdated_runs(made, [run], results.root).files[result])
    assert Identity(made, results.root).of_tests(run)

    for weights in folder.model.glob("*.safetensors"):
        weights.unlink()
    dropped = outdated_runs(made, [run], results.root)
    assert list(dropped.refused) == [run.key]  # which the call says, with what to do


@pytest.mark.parametrize("kept", ["own", "all"])
def test_answers_elsewhere_are_kept_if_that_is_asked(copied: ResultsFolder, start, kept: str):  # noqa: F811
    made = ladder(start, also={"T": [1], "V": [4]}, keep_answers=kept)
    run = only(made)
    evaluate(made, run, copied)
    folder = copied.run(run.key).tested_answers(1, 4)
    assert folder.exists() == (kept == "all")
    if kept == "all":
        glyph = pd.read_json(folder / "glyph.jsonl", lines=True)
        error = json.loads(copied.run(run.key).tested(1, 4).read_text())["errors"]["glyph"]["error"]
        assert 100 * (1 - glyph.score.mean()) == pytest.approx(error)
