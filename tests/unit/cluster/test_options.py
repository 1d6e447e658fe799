"""Values of a site file on the command line of sbatch: as the plugin really writes it, none runs and none breaks it."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra

from vlmfrontier.cluster.batch import Demand
from vlmfrontier.cluster.site import Site
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.jobs import cpu_job, gpu_job, training_job, training_job_on_nodes
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import finetuning

ROOT = Path(__file__).parents[3]
STUDY = load_study([ROOT / "config.yaml"])
RUN = plan_runs(STUDY)[0]


def sbatch(asked: dict) -> list[str]:
    """Return the words of the command line that the plugin makes of a job's resources."""
    values = {key: value(None) if callable(value) else value for key, value in asked.items()}
    resources = Demand({key: value for key, value in values.items() if value is not None})
    job = SimpleNamespace(resources=resources, threads=1)
    validate_slurm_extra(job)
    named = {"run_uuid": "name", "slurm_logfile": "log", "comment_str": "rule", "account": "", "workdir": "/here"}
    partition = f"-p {shlex.quote(resources['slurm_partition'])}"
    line = get_submit_command(job, {**named, "partition": partition}) + set_gres_string(job)
    return shlex.split(line)


def all_jobs(site: Site) -> dict[str, dict]:
    placed = plan_training(finetuning(STUDY, RUN), site)
    return {
        "cpu": cpu_job(site, hours=lambda _: 1.0),
        "gpu": gpu_job(site, on=lambda _: site.gpu[0], hours=lambda _: 1.0),
        "training": training_job(site, lambda _: placed),
        "nodes": training_job_on_nodes(site, lambda _: placed) | {"nodes": 2, "tasks": 2},
    }


EVERYTHING = {
    "qos": "long",
    "reservation": "course",
    "constraint": "nvlink&ib|[rack1|rack2]",
    "mail": {"address": "ann@lab.org", "when": ["FAIL", "end"]},
    "extra": ["--nice=100", "--licenses=a b;touch /tmp/x", '--wckey=it\'s $HOME `id` "x"', "-k"],
    "gpu": {"partition": "gpu,preempt", "model": "h100"},
    "cpu": {"qos": "short", "reservation": "other", "constraint": "big"},
}


@pytest.mark.parametrize("kind", ["cpu", "gpu", "training", "nodes"])
def test_every_key_reaches_sbatch_as_one_word(kind: str):
    words = sbatch(all_jobs(Site.model_validate(EVERYTHING))[kind])
    on_cpu = kind == "cpu"
    for option in EVERYTHING["extra"]:
        assert option in words
    assert f"--qos={'short' if on_cpu else 'long'}" in words
    assert f"--reservation={'other' if on_cpu else 'course'}" in words
    assert words[words.index("-C") + 1] == ("big" if on_cpu else EVERYTHING["constraint"])
    assert words[words.index("-p") + 1] == ("cpu" if on_cpu else "gpu,preempt")
    assert "--mail-user=ann@lab.org" in words
    assert "--mail-type=FAIL,END" in words
    assert not [word for word in words[1:] if not word.startswith("-") and words[words.index(word) - 1][:1] != "-"]


def test_what_is_not_set_is_not_on_the_command_line():
    for asked in all_jobs(Site()).values():
        words = sbatch(asked)
        assert not {"-C", "--qos", "--reservation", "--exclude"} & {word.split("=")[0] for word in words}
        assert not [word for word in words if word.startswith("--mail")]


def test_a_constraint_of_the_site_is_for_nodes_with_gpus():
    jobs = all_jobs(Site.model_validate({"constraint": "nvlink"}))
    assert "-C" not in sbatch(jobs["cpu"])
    assert "nvlink" in sbatch(jobs["gpu"])


def test_a_gpu_whose_name_the_plugin_refuses_is_asked_for_all_the_same():
    jobs = all_jobs(Site.model_validate({"gpu": {"model": "nvidia_a100-sxm4-80gb"}}))
    for kind in ("gpu", "training"):
        words = sbatch(jobs[kind])
        assert "--gpus-per-node=nvidia_a100-sxm4-80gb:1" in words
        assert "--nodes=1" in words
        assert not [word for word in words if word.startswith(("--gpus=", "--gres"))]
    assert "--gpus=a100:1" in sbatch(all_jobs(Site())["gpu"])


@pytest.mark.parametrize("name", ["gpu-n", "a-J1", "x-p", "rack-c", "a-D"])
def test_names_with_dashes_are_no_options(name: str):
    """The plugin searches `-n ` and the like in the whole text of further options."""
    site = {"reservation": name, "extra": [f"--wckey={name}"]}
    if "-J" in name:
        with pytest.raises(ValueError, match="take a part for its own option"):
            Site.model_validate(site)
    else:
        assert f"--reservation={name}" in sbatch(all_jobs(Site.model_validate(site))["gpu"])


def test_each_attempt_of_a_job_that_cannot_go_on_is_given_twice_the_time():
    runtime = cpu_job(Site(), hours=lambda _: 2.0)["runtime"]
    assert [runtime(None, attempt) for attempt in (1, 2, 3, 4)] == [246, 492, 984, 24 * 60]
