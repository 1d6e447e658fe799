"""A study of published models as a user runs it: fetched, aligned, finetuned, tested by lmms-eval, up to its report.

Everything is real and tiny: two SigLIP towers and three Llamas in the published layout, mp4 files with LLaVA-style
conversations, lmms-eval in its own environment, a judge behind HTTP. Skipped without the environment of lmms-eval, but
for the last test: the same models on generated videos, as far as the table of runs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.calling import Outcome, Workflow
from tests.made_benchmarks import LMMS_EVAL, NO_LMMS_EVAL
from tests.made_judge import judging
from tests.made_tasks import TASKS, judge_likeness, write_tasks
from tests.made_videos import VIDEOS, write_sources
from tests.published import VISION, language_shape, save_language, save_vision
from vlmfrontier.figures.catalogue import drawn
from vlmfrontier.figures.drawing import draw
from vlmfrontier.results import Results
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.workflow import outline

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TOWERS = {
    "base": {**VISION, "hidden_size": 16, "layers": 1, "intermediate_size": 24},
    "large": {**VISION, "layers": 3},
}
LANGUAGES = {
    "s": {"hidden_size": 16, "heads": 2, "kv_heads": 1, "intermediate_size": 32, "layers": 1},
    "m": {"hidden_size": 32, "layers": 2},
    "l": {"hidden_size": 48, "intermediate_size": 96, "layers": 3},
}
PUBLISHED = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "intermediate_size": "intermediate_size",
}
"""A study's words for what differs between the models, and those of a published config.json."""


def published(shape: Mapping[str, int]) -> dict[str, int]:
    """Return a shape in the words of a published config.json."""
    return {PUBLISHED[word]: value for word, value in shape.items() if word in PUBLISHED}


RATES = {"vision": 1.0e-3, "projector": 5.0e-3, "language": 1.0e-2}
SHORT = {"batch_size": 2, "save_every": 4, "log_every": 1, "precision": "bf16", "learning_rates": RATES}
ALIGN = {"train": ["projector"], "epochs": 1, "grids": [1, 2, 3, 4], **SHORT}


def models(folder: Path) -> dict:
    """Return the section `models` of models that are saved into `folder` as published."""
    vision, language = {}, {}
    for name, shape in TOWERS.items():
        saved = save_vision(folder / f"siglip-{name}", "siglip", **published(shape))
        vision[name] = {"pretrained": str(saved), **shape}
    for name, given in LANGUAGES.items():
        shape = language_shape(**given)
        saved = save_language(folder / f"llama-{name}", **published(shape))
        language[name] = {"pretrained": str(saved), **shape}
    return {"start": None, "vision": vision, "language": language}


def config(folder: Path, judge: str) -> dict:
    """Return a study like example-qwen.yaml, made tiny, whose files are below `folder`; save its models there."""
    return {
        "study": "tiny",
        "models": models(folder / "hub"),
        "data": {"source": "llava", "turns": "sequential", "llava": write_sources(folder / "sets")},
        "pretrain": {"align": ALIGN},
        "finetune": {**SHORT, "keep_model": False},
        "evaluate": {
            "harness": "lmms-eval",
            "max_new_tokens": 16,
            "lmms_eval": {
                "python": str(LMMS_EVAL),
                "include_path": str(folder / "tasks"),
                "tasks": TASKS,
                "judge": {"url": judge, "model": "made", "key": None},
            },
        },
        "sweep": {
            "center": {"N": "m", "T": 4, "V": 4, "M": "large"},
            "designs": {
                "star": {
                    "design": "star",
                    "vary": {"N": ["s", "m", "l"], "T": [2, 4], "V": [4, 9], "M": ["base", "large"]},
                    "n": [8, 24],
                },
                "isoflop": {
                    "design": "isoflop",
                    "budgets": ["10M"],
                    "tolerance": 0.3,
                    "per_budget": 3,
                    "imbalance": 1.0,
                    "n": [24],
                    "space": {"T": {"from": 1, "to": 8}, "V": [1, 4, 9, 16]},
                },
            },
        },
        "space": {"T": {"from": 1, "to": 8}, "V": {"squares": 4}},
        "laws": {"split": "sweep != 'isoflop'", "forms": ["mult", "add"], "starts": 20, "resamples": 10},
        "frontier": {"budgets": {"from": "5M", "to": "40M", "count": 20}, "examples": [8, 24]},
    }


@dataclass
class Ran:
    """The study after `snakemake`, its judge gone."""

    workflow: Workflow
    outcome: Outcome
    results: Results
    runs: list[Run]
    asked: int
    """How many ratings the judge gave."""

    @property
    def folder(self) -> Path:
        """results/<study>."""
        return self.results.folder

    def again(self, *targets: str) -> Outcome:
        """Call Snakemake once more."""
        return self.workflow("--cores", "2", *targets, config=self.workflow.folder / "study.yaml")

    def result(self, run: Run) -> dict:
        """Return what `result.json` says."""
        return json.loads((self.folder / "runs" / run.key / "result.json").read_text())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    if not LMMS_EVAL.exists():
        pytest.skip(NO_LMMS_EVAL)
    workflow = Workflow(tmp_path_factory.mktemp("published"))
    with judging(judge_likeness) as judge:
        given = config(workflow.folder, judge.url)
        write_tasks(workflow.folder / "tasks", workflow.folder / "sets" / "videos", VIDEOS)
        outcome = workflow("--cores", "2", config=given)
        assert outcome.status == 0, outcome.output
        asked = len(judge.asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workflow.folder)
        results = Results.open(workflow.folder / "results/tiny/study.json")
        yield Ran(workflow, outcome, results, plan_runs(results.study), asked)


def test_every_run_is_in_the_table_with_its_errors(ran: Ran):
    table = pd.read_csv(ran.folder / "runs.csv")
    assert list(table.columns) == [
        *["run", "sweep", "N", "T", "V", "M", "n", "seed", "c"],
        *["ALIKE", "RATED", "avg"],
        *["ALIKE_se", "RATED_se", "avg_se"],
    ]
    assert list(table.run) == [run.key for run in ran.runs]
    assert table.M.nunique() == 2
    errors = table[["ALIKE", "RATED", "avg"]]
    assert ((errors > 0) & (errors <= 100)).all(axis=None)
    assert (errors.nunique() > 1).all()
    assert (table[["ALIKE_se", "RATED_se", "avg_se"]] >= 0).all(axis=None)  # 0 where a model says nothing at all
    assert table.avg_se.max() > 0
    assert table.avg.to_numpy() == pytest.approx(((table.ALIKE + table.RATED) / 2).to_numpy())


def test_a_result_tells_who_answered_what_and_who_rated(ran: Ran):
    results = [ran.result(run) for run in ran.runs]
    assert {result["judge"]["model"] for result in results} == {"made"}
    assert sum(result["judge"]["requests"] for result in results) == ran.asked  # each thing once
    for run, result in zip(ran.runs, results, strict=True):
        assert result["visual_tokens"] == run.T * run.V
        assert result["training"]["parameters"]["language"] == run.N
        assert result["training"]["parameters"]["vision"] == run.M
        assert result["training"]["steps"] == run.n // 2
        assert result["errors"]["RATED"]["questions"] == len(VIDEOS)
        assert result["provenance"]["versions"]["lmms-eval"] == "0.7.3"


def test_stage_1_was_done_once_for_every_pair_that_a_run_needs(ran: Ran):
    needed = {f"{run.vision}+{run.language}" for run in ran.runs}
    assert {path.parent.name for path in ran.folder.glob("models/*/report.json")} == needed
    assert 3 < len(needed) < len(TOWERS) * len(LANGUAGES)


def test_m_goes_through_laws_and_frontier(ran: Ran):
    for target in ran.results.study.targets():
        law = json.loads((ran.folder / "laws" / target / "add.json").read_text())
        assert list(law["factors"]) == ["N", "T", "V", "M"]
        assert {"alpha_M", "a_M"} <= set(law["parameters"])
        frontier = pd.read_csv(ran.folder / "frontier" / f"{target}.csv")
        assert set(frontier.M) <= {run.M for run in ran.runs}
        assert (frontier.M_lo <= frontier.M_hi).all()
        assert len(frontier) == 2 * 20
        assert np.isfinite(frontier.f).all()
    suggested = pd.read_csv(ran.folder / "next_runs.csv")
    assert set(suggested.M) <= {run.M for run in ran.runs}


def test_answer_report_and_explorer_name_the_vision_model(ran: Ran):
    (answer,) = [line for line in ran.outcome.output.splitlines() if "FLOPs per video and 24 examples, deploy" in line]
    assert "M = " in answer
    report = (ran.folder / "report.md").read_text()
    assert "size of the vision model M: 2 values" in report
    assert "M^(−a_M)" in report
    assert '"names":["base","large"]' in (ran.folder / "explorer.html").read_text()


def test_every_figure_is_drawn_and_none_has_empty_axes(ran: Ran):
    figures = drawn(outline(ran.results.study, ran.runs))
    assert {"isoflop", "contours", "vision-share", "learning", "cost"} <= set(figures)
    assert {path.stem for path in (ran.folder / "figures").glob("*.png")} == set(figures)
    for name in figures:
        axes = draw(ran.results, name, "avg").figure.axes
        assert axes, name
        assert all(panel.has_data() for panel in axes), name


def test_a_second_call_does_nothing_though_no_weights_are_kept(ran: Ran):
    assert not list(ran.folder.glob("runs/*/model/*.safetensors"))
    outcome = ran.again()
    assert outcome.status == 0, outcome.output
    assert "Nothing to be done" in outcome.output


def test_plan_and_status_say_that_all_is_done(ran: Ran):
    for target in ("plan", "status"):
        outcome = ran.again(target)
        assert outcome.status == 0, outcome.output
        assert f"study tiny: {len(ran.runs)} runs" in outcome.output
        assert f"{len(ran.runs)} done" in outcome.output
    assert set(pd.read_csv(ran.folder / "plan.csv").status) == {"done"}


def test_another_judge_rates_a_run_again_without_its_weights(ran: Ran):
    """Last of those that read the study's results, one of which it changes."""
    run = ran.runs[0]
    before = ran.result(run)
    other = ran.workflow.folder / "other.yaml"
    with judging(lambda request, _: "{'score': 4}") as judge:
        changes = {"evaluate": {"lmms_eval": {"judge": {"url": judge.url, "model": "other"}}}}
        other.write_text(yaml.safe_dump({"base": "study.yaml", **changes}))
        jobs = ran.workflow("--dry-run", "evaluate", config=other).jobs
        outcome = ran.workflow("--cores", "2", "--", f"results/tiny/runs/{run.key}/result.json", config=other)
        assert outcome.status == 0, outcome.output
    assert jobs == {"evaluate_run": len(ran.runs), "evaluate": 1}
    after = ran.result(run)
    assert after["errors"]["RATED"]["error"] == pytest.approx(20)  # 4 of 5
    assert after["errors"]["ALIKE"] == before["errors"]["ALIKE"]
    assert after["training"] == before["training"]


def test_without_lmms_eval_published_models_are_tested_on_generated_videos(workflow: Workflow):
    """As far as the table: such models learn so little in a minute that their errors follow no law."""
    rows = [
        {"N": "s", "T": 2, "V": 4, "M": "base", "n": 8},
        {"N": "m", "T": 2, "V": 9, "M": "large", "n": 16},
        {"N": "m", "T": 4, "V": 4, "M": "base", "n": 8},
    ]
    given = {
        "study": "generated",
        "models": models(workflow.folder / "hub"),
        "data": {"digits": {"train": 16, "test": 6}},
        "pretrain": {"align": {**ALIGN, "videos": 8}},
        "finetune": {**SHORT, "keep_model": False},
        "evaluate": {"control_videos": 2, "max_new_tokens": 4},
        "sweep": {"designs": {"few": {"design": "rows", "rows": rows}}},
        "laws": {"split": None},
    }
    outcome = workflow("--cores", "2", "collect", config=given)
    assert outcome.status == 0, outcome.output
    folder = workflow.folder / "results/generated"
    table = pd.read_csv(folder / "runs.csv")
    assert table.M.nunique() == 2
    assert table[["glyph", "caption", "avg"]].notna().all(axis=None)
    assert len(list(folder.glob("models/*/report.json"))) == 3
    assert not list(folder.glob("runs/*/model/*.safetensors"))
    again = workflow("--cores", "2", "--dry-run", "collect", config=given)
    assert again.jobs == {}, again.output
