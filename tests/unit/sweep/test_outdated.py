"""A result is of the configuration that it says, not of the one that lies beside it."""

import copy
import json
from pathlib import Path

import pytest

from tests.calling import SMOKE
from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json
from vlmfrontier.made import note, outdated_analysis
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import collect
from vlmfrontier.sweep.fingerprints import data_settings, result_settings, run_settings
from vlmfrontier.sweep.outdated import Identity, has_finished, outdated_runs
from vlmfrontier.sweep.runs import Run, plan_runs

STAR = {"sweep": {"designs": {"isoflop": None, "repeats": None}}}
HASHES = {"hash_videos": "v", "hash_conversations": "c"}


def study(change: dict | None = None) -> Study:
    return load_study([SMOKE], {**STAR, **(change or {})})


def finished(results: Path, made: Study, run: Run, weights: bool = True) -> dict:
    """Write what a training and its evaluation leave, as `made` decides it; return the result."""
    folder = results / "runs" / run.key
    (folder / "model").mkdir(parents=True)
    (folder / "state").mkdir()
    if weights:
        (folder / "model" / "model.safetensors").write_bytes(b"weights")
    start = Identity(made, results).start(run)
    recipe = {**run_settings(made, run), "conversations": "c", "videos": "v", "start": start}
    training = {"recipe": recipe, "weights": "w", "seconds": 1.0, "provenance": {}}
    write_json(folder / "finetuned.json", training)
    write_json(folder / "state" / "finished.json", {"again": None, "report": training})
    errors = {target: {"error": 50.0, "standard_error": 1.0, "questions": 9} for target in made.targets()}
    result = {"errors": errors, "recipe": result_settings(made, "w", HASHES), "test": HASHES, "training": training}
    write_json(folder / "result.json", result)
    return result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the smoke study's star, all finished."""
    folder, made = tmp_path_factory.mktemp("results"), study()
    for split in ("train", "test"):
        (folder / "data" / split).mkdir(parents=True)
        manifest = {"split": split, **HASHES, "settings": data_settings(made, split)}
        write_json(folder / "data" / split / "manifest.json", manifest)
    for run in plan_runs(made):
        finished(folder, made, run)
    return folder


def test_results_of_the_same_configuration_are_not_outdated(results: Path):
    made = study()
    assert outdated_runs(made, plan_runs(made), results).files == {}
    assert len(collect(made, results)[0]) == len(plan_runs(made))
    assert all(has_finished(made, run, results) for run in plan_runs(made))


TRAINED, EVALUATED = "runs/{}/finetuned.json", "runs/{}/result.json"
DATA, TEST = "data/train/manifest.json", "data/test/manifest.json"
RATES = "finetune.learning_rates"


@pytest.mark.parametrize(
    ("change", "said", "files"),
    [
        (
            {"finetune": {"learning_rates": {"language": {"xs": 0.009}}}},
            "xs: 0.0005 when it was trained, 0.009",
            TRAINED,
        ),
        ({"finetune": {"learning_rates": {"vision": 0.009}}}, "vision.xs: 0.0002 when it was trained, 0.009", TRAINED),
        ({"finetune": {"epochs": 2}}, "finetune.epochs: 1 when it was trained, 2 now", TRAINED),
        ({"finetune": {"warmup": 0.5}}, "finetune.warmup: 0.05 when it was trained, 0.5 now", TRAINED),
        ({"finetune": {"train": ["projector"]}}, "finetune.train", TRAINED),
        ({"finetune": {"precision": "bf16"}}, "finetune.precision: not set when it was trained, bf16 now", TRAINED),
        ({"seed": 7}, "seed: 0 when it was trained, 7 now", TRAINED),
        ({"data": {"turns": "sequential"}}, "data.turns: independent when it was trained, sequential now", TRAINED),
        ({"models": {"attention": "eager"}}, "models.attention: sdpa when it was trained, eager now", TRAINED),
        ({"evaluate": {"control_videos": 9}}, "control_videos: 8 when it was evaluated, 9 now", EVALUATED),
        ({"evaluate": {"max_new_tokens": 5}}, "evaluate.max_new_tokens", EVALUATED),
        ({"evaluate": {"batch_size": 3}}, "evaluate.batch_size", EVALUATED),
        ({"data": {"digits": {"handwriting": "dev"}}}, "handwriting: test when it was made, dev now", TEST),
        ({"data": {"digits": {"seed": 5}}}, "data.digits.seed: 2027 when it was made, 5 now", DATA),
        ({"data": {"digits": {"train": 70}}}, "data.digits.train: 64 when it was made, 70 now", DATA),
        (
            {"data": {"digits": {"test": 30}}},
            "data.digits.test: 24 when it was made, 30 now",
            TEST,
        ),
    ],
    ids=str,
)
def test_what_differs_is_made_again_and_named_with_both_values(results: Path, change: dict, said: str, files: str):
    now = study(change)
    run = plan_runs(now)[0]
    found = outdated_runs(now, plan_runs(now), results).files
    assert said in " ".join(found[files.format(run.key)])
    if files in (TRAINED, EVALUATED):
        with pytest.raises(UserError, match="another configuration") as refusal:
            collect(now, results)
        assert said in str(refusal.value)
    assert has_finished(now, run, results) == (files != TRAINED)


@pytest.mark.parametrize(
    "change",
    [
        {"finetune": {"save_every": 7, "log_every": 3}},
        {"finetune": {"learning_rates": {"language": {"l": 0.009}}}},
        {"laws": {"starts": 30}},
        {"frontier": {"budgets": {"to": "90M"}}},
        {"execution": {"warm_start": False}},
        {"sweep": {"designs": {"star": {"n": [16, 32]}, "isoflop": None, "repeats": None}}},
    ],
    ids=str,
)
def test_what_decides_nothing_is_no_difference(results: Path, change: dict):
    now = study(change)
    assert outdated_runs(now, plan_runs(now), results).files == {}


def test_only_runs_that_a_rate_concerns_are_trained_again(results: Path):
    now = study({"finetune": {"learning_rates": {"language": {"s": 0.009}}}})
    found = outdated_runs(now, plan_runs(now), results).files
    concerned = {run.key for run in plan_runs(now) if run.language == "s"}
    assert {name.split("/")[1] for name in found} == concerned


def test_a_result_of_before_is_compared_in_what_it_says(tmp_path: Path):
    """Older results have no `recipe` of their evaluation, older manifests no `settings`."""
    made = study()
    run = plan_runs(made)[0]
    result = finished(tmp_path, made, run)
    del result["recipe"]
    videos = {"questions": 24, "error": 60.0, "standard_error": 1.0}
    result |= {"wrong_video": {"glyph": videos | {"questions": 8}, "avg": videos}, "test": HASHES | {"videos": 24}}
    write_json(tmp_path / "runs" / run.key / "result.json", result)
    (tmp_path / "data/train").mkdir(parents=True)
    old = {"split": "train", "videos": 64, "handwriting": "train", "seed": 2027, **HASHES}
    write_json(tmp_path / "data/train/manifest.json", old)
    assert outdated_runs(made, [run], tmp_path).files == {}
    assert list(collect(made, tmp_path)[0].run) == [run.key]
    for change in ({"evaluate": {"control_videos": 9}}, {"data": {"digits": {"seed": 5}}}):
        assert outdated_runs(study(change), [run], tmp_path).files


@pytest.mark.parametrize(("keep", "refused"), [(False, True), (True, False)])
def test_an_evaluation_without_weights_is_refused(tmp_path: Path, keep: bool, refused: bool):
    made = study({"finetune": {"keep_model": keep}})
    run = plan_runs(made)[0]
    finished(tmp_path, made, run, weights=keep)
    assert has_finished(made, run, tmp_path)  # nothing is trained for weights that were to go
    now = study({"finetune": {"keep_model": keep}, "evaluate": {"control_videos": 9}})
    assert (run.key in outdated_runs(now, [run], tmp_path).refused) == refused


def test_a_result_of_another_run_is_refused(tmp_path: Path):
    made = study()
    one, other = plan_runs(made)[:2]
    result = finished(tmp_path, made, one)
    finished(tmp_path, made, other)
    write_json(tmp_path / "runs" / other.key / "result.json", result)
    write_json(tmp_path / "runs" / other.key / "finetuned.json", result["training"])
    with pytest.raises(UserError, match=r"run.n: 16 when it was trained, 32 now"):
        collect(made, tmp_path)


def damaged(result: dict, change) -> str:
    changed = copy.deepcopy(result)
    change(changed)
    return json.dumps(changed)


DAMAGES = {
    "empty": lambda result: "",
    "cut": lambda result: json.dumps(result)[:200],
    "a list": lambda result: "[]",
    "a number": lambda result: "3",
    "null": lambda result: "null",
    "deep": lambda result: "[" * 200_000,
    "no errors": lambda result: damaged(result, lambda r: r.pop("errors")),
    "errors empty": lambda result: damaged(result, lambda r: r["errors"].clear()),
    "no target": lambda result: damaged(result, lambda r: r["errors"].pop("avg")),
    "errors a list": lambda result: damaged(result, lambda r: r.update(errors=[1])),
    **{
        f"error {value!r}": lambda result, value=value: damaged(
            result, lambda r: r["errors"]["avg"].update(error=value)
        )
        for value in (-5, 1000, float("nan"), float("inf"), "abc", "50", None, True, [50])
    },
    **{
        f"se {value!r}": lambda result, value=value: damaged(
            result, lambda r: r["errors"]["avg"].update(standard_error=value)
        )
        for value in (-1, float("inf"), "abc", True)
    },
    "no se": lambda result: damaged(result, lambda r: r["errors"]["avg"].pop("standard_error")),
    "training a list": lambda result: damaged(result, lambda r: r.update(training=[])),
    "training without recipe": lambda result: damaged(result, lambda r: r["training"].pop("recipe")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_named_and_made_again(tmp_path: Path, damage: str):
    made = study()
    run = plan_runs(made)[0]
    result = finished(tmp_path, made, run)
    path = tmp_path / "runs" / run.key / "result.json"
    path.write_text(DAMAGES[damage](result))
    with pytest.raises(UserError, match=r"result.json.*snakemake evaluate"):
        collect(made, tmp_path)
    if damage != "no target":
        assert f"runs/{run.key}/result.json" in outdated_runs(made, [run], tmp_path).files
    finetuned = path.with_name("finetuned.json")
    finetuned.write_text(path.read_text() if "training" not in damage else "{}")
    if "error" not in damage and "se" not in damage and damage != "no target":
        assert f"runs/{run.key}/finetuned.json" in outdated_runs(made, [run], tmp_path).files


def run_table(results: Path, made: Study) -> tuple[Path, Results]:
    """Write study.json and the collected run table; return its path and the results."""
    for run in plan_runs(made):
        finished(results, made, run)
    write_study(made, results / "study.json")
    collect(made, results)[0].to_csv(results / "runs.csv", index=False)
    note(made, ResultsFolder(results), "runs.csv")
    return results / "runs.csv", Results.open(results / "study.json")


ROWS = {
    "empty": lambda text: "",
    "header": lambda text: text.splitlines()[0] + "\n",
    "cut": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[]",
    "binary": lambda text: "\x00\x01",
    "a run twice": lambda text: text + text.splitlines()[-1] + "\n",
    "no column": lambda text: text.replace("avg", "mean"),
    "a foreign run": lambda text: text.replace("N20.9k_T2", "N9.9k_T2"),
    **{f"error {value}": lambda text, value=value: text.replace("50.0", value, 1) for value in ("-5", "1000", "abc")},
    **{f"error {value!r}": lambda text, value=value: text.replace("50.0", value, 1) for value in ("", "nan", "1e400")},
    "negative se": lambda text: ",-1.0".join(text.rsplit(",1.0", 1)),
    "text as N": lambda text: text.replace("20904.0", "many", 1),
    "V 0": lambda text: text.replace(",4,4,", ",4,0,", 1),
}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of before"])
@pytest.mark.parametrize("damage", ROWS)
def test_a_damaged_run_table_is_refused(tmp_path: Path, damage: str, noted: bool):
    path, results = run_table(tmp_path, study())
    assert len(results.table)
    text = path.read_text()
    path.write_text(ROWS[damage](text))
    assert path.read_text() != text
    if not noted:
        (tmp_path / "made" / "runs.csv.json").unlink()
    with pytest.raises(UserError, match=r"runs\.csv"):
        _ = Results.open(tmp_path / "study.json").table


def test_a_run_table_of_another_configuration_is_refused_and_collected_again(tmp_path: Path):
    run_table(tmp_path, study())
    now = study({"finetune": {"learning_rates": {"language": {"xs": 0.009}}}})
    said = r"finetune \(xs\)\.learning_rates\.language: 0\.0005 when it was made, 0\.009 now"
    with pytest.raises(UserError, match=said):
        _ = Results(tmp_path, now).table
    assert "runs.csv" in outdated_analysis(now, ResultsFolder(tmp_path))
    unused = study({"finetune": {"learning_rates": {"language": {"l": 0.009}}}})
    more = study({"sweep": {"designs": {"star": {"n": [16, 32, 48, 64]}, "isoflop": None, "repeats": None}}})
    less = study({"sweep": {"designs": {"star": {"n": [16, 32]}, "isoflop": None, "repeats": None}}})
    assert outdated_analysis(unused, ResultsFolder(tmp_path)) == outdated_analysis(more, ResultsFolder(tmp_path)) == {}
    assert "are not planned" in outdated_analysis(less, ResultsFolder(tmp_path))["runs.csv"][0]
