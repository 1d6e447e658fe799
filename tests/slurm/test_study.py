"""Half of the smoke study through `snakemake --profile slurm`: the laptop's results, and jobs as the plan says."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.calling import SMOKE, Workflow, run_keys
from tests.slurm.cluster import SlurmCluster
from tests.slurm.conftest import OnCluster
from vlmfrontier.cluster.slurm import parse_record

pytestmark = pytest.mark.slow
STUDY = {
    "base": str(SMOKE),
    "sweep": {
        "designs": {
            "star": {"vary": {"N": ["xs", "s"], "T": [2, 4, 8], "V": [4, 9]}, "n": [16, 64]},
            "isoflop": {"budgets": ["90M"]},
            "repeats": None,
        }
    },
    "laws": {"forms": ["add", "mult"]},  # the others need more runs
}
# What says when, where and how fast, not what: all else of a result must be equal.
OCCASION = {"seconds", "provenance", "resumed_at"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, cluster: SlurmCluster) -> OnCluster:
    """The study, run to its end on the cluster."""
    on_cluster = OnCluster(tmp_path_factory.mktemp("study"), cluster)
    # The queue is looked at in turns that grow to 36 seconds: with few jobs in flight most of the time is waiting.
    outcome = on_cluster("--jobs", "8", config=STUDY)
    assert outcome.status == 0, outcome.output
    (on_cluster.folder / "output").write_text(outcome.output)
    return on_cluster


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory, smoke_results: Path) -> Workflow:
    """The study, run to its end without a cluster: its runs are some of the smoke study's."""
    workflow = Workflow(tmp_path_factory.mktemp("laptop"))
    for part in ("data", *(f"runs/{run}" for run in run_keys(STUDY))):
        shutil.copytree(smoke_results / part, workflow.folder / "results" / "smoke" / part)
    outcome = workflow("--cores", "2", config=STUDY)
    assert outcome.status == 0, outcome.output
    return workflow


def lasting(value: object) -> object:
    """Return a result without what depends on the occasion."""
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in OCCASION}
    return value


def test_results_are_those_of_the_laptop(study: OnCluster, laptop: Workflow):
    there, here = (folder / "results" / "smoke" for folder in (study.folder, laptop.folder))
    runs = sorted(path.parent.name for path in here.glob("runs/*/result.json"))
    assert runs == list(pd.read_csv(here / "plan.csv").run.sort_values())
    for run in runs:
        results = [json.loads((folder / "runs" / run / "result.json").read_text()) for folder in (there, here)]
        assert lasting(results[0]) == lasting(results[1])
    assert (there / "runs.csv").read_text() == (here / "runs.csv").read_text()
    assert files(there) == files(here)
    # Fits compiled in the process that runs them sum in another order than cached ones: 1e-14 was seen.
    for law in here.glob("laws/*/*.json"):
        fits = [json.loads((folder / law.relative_to(here)).read_text()) for folder in (there, here)]
        if law.name != "weights.json":
            assert fits[0]["parameters"] == pytest.approx(fits[1]["parameters"], rel=1e-6, nan_ok=True)


def files(folder: Path) -> set[str]:
    """Return the files of a study, but for what its data were made with, which the laptop took from another study."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in found if not path.match("logs/data-*")}


def submitted(study: OnCluster) -> dict[str, dict[str, str]]:
    """Return what Slurm says of every job by `<rule>/<wildcards>`, as the plugin wrote it into the job's comment."""
    records = map(parse_record, study.cluster.ask("scontrol", "show", "job", "--oneliner").splitlines())
    ours = (record for record in records if str(study.folder) in record["StdOut"])
    return {record["Comment"].replace("rule_", "").replace("_wildcards_", "/"): record for record in ours}


def test_slurm_was_asked_for_what_the_plan_says(study: OnCluster):
    plan = pd.read_csv(study.folder / "results/smoke/plan.csv")
    jobs = submitted(study)
    for row in plan.itertuples():
        job = jobs[f"finetune_run/{row.run}"]
        assert job["Partition"] == row.partition
        assert gpus_of(job) == row.gpus * row.nodes
        assert int(job["NumNodes"].split("-")[0]) == row.nodes
        assert memory_of(job) == row.host_memory_mb
        assert minutes_of(job) == row.limit_minutes
        assert job["Account"] == "lab"
        assert job["Requeue"] == "1"
        assert (gpus_of(jobs[f"evaluate_run/{row.run}"]), jobs[f"evaluate_run/{row.run}"]["Partition"]) == (1, "gpu")
    for name, job in jobs.items():
        if name.split("/")[0] not in ("finetune_run", "evaluate_run"):
            assert job["Partition"] == "cpu"
            assert gpus_of(job) == 0
        assert "ArrayJobId" not in job


def gpus_of(job: dict[str, str]) -> int:
    found = re.search(r"gres[:/]gpu(?::a100)?[=:](\d+)|gpu:a100:(\d+)", job.get("TresPerJob", "") + job.get("TRES", ""))
    return int(found[1] or found[2]) if found else 0


def memory_of(job: dict[str, str]) -> int:
    """Return MiB."""
    found = re.search(r"mem=([\d.]+)([MG])", job["TRES"])
    return round(float(found[1]) * {"M": 1, "G": 1024}[found[2]])


def minutes_of(job: dict[str, str]) -> int:
    days, _, clock = job["TimeLimit"].rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + minutes


def test_every_log_is_in_its_run_and_names_its_job(study: OnCluster):
    for job, record in submitted(study).items():
        rule, _, run = job.partition("/")
        if rule == "finetune_run":
            log = study.folder / "results" / "smoke" / "runs" / run / "finetune.log"
            assert log.read_text().startswith(f"Slurm job {record['JobId']} on ")


def test_fits_and_tables_are_few_jobs_or_none(study: OnCluster):
    rules = {job.split("/")[0] for job in submitted(study)}
    assert rules == {"prepare_split", "finetune_run", "evaluate_run", "fit_target"}


def test_a_second_call_does_nothing(study: OnCluster):
    assert "Nothing to be done" in study(config=STUDY).output
