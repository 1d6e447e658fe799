"""Which refusals of sbatch pass, what is read from the queue, and what a batch script runs."""

from itertools import islice
from types import SimpleNamespace

import pytest

from vlmfrontier.cluster.slurm import call, job_name
from vlmfrontier.cluster.submitter import (
    LISTING,
    may_have_arrived,
    parse_listing,
    passes,
    pauses,
)

FAILED = "sbatch: error: Batch job submission failed: "
LIMIT = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (FAILED + "Socket timed out on send/recv operation", True),
        (FAILED + "Zero Bytes were transmitted or received", True),
        (FAILED + "Unable to contact slurm controller (connect failure)", False),
        (FAILED + "Resource temporarily unavailable", False),
        (FAILED + "Slurm temporarily unable to accept job, sleeping and retrying", False),
        (FAILED + "Protocol authentication error", False),
        (FAILED + "I/O error writing script/environment to file", False),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + LIMIT, False),
        ("sbatch: error: AssocMaxSubmitJobLimit\n" + LIMIT, False),
        ("sbatch: error: AssocGrpSubmitJobsLimit\n" + LIMIT, False),
        ("sbatch timed out after 120 s", True),
    ],
)
def test_refusals_that_pass(message: str, lost: bool):
    assert passes(message, others_queued=False)
    assert may_have_arrived(message) == lost


@pytest.mark.parametrize(
    "message",
    [
        FAILED + "Invalid account or account/partition combination specified",
        FAILED + "invalid partition specified: gpuu",
        FAILED + "Requested node configuration is not available",
        FAILED + "Requested time limit is invalid (missing or exceeds some limit)",
        FAILED + "Memory specification can not be satisfied",
        FAILED + "Invalid qos specification",
        "sbatch: error: QOSMaxGRESPerJob\n" + FAILED + "Job violates accounting/QOS policy",
        "sbatch: [Errno 2] No such file or directory: 'sbatch'",
        "sbatch: unrecognized option '--gpuss=1'",
    ],
)
def test_refusals_that_stay(message: str):
    assert not passes(message, others_queued=True)


def test_a_limit_of_unknown_kind_passes_only_while_jobs_are_queued():
    """Older Slurms say the same of too many jobs and of one that is too large."""
    assert passes(LIMIT, others_queued=True)
    assert not passes(LIMIT, others_queued=False)


def test_pauses_grow_up_to_two_minutes():
    assert list(islice(pauses(), 8)) == [2, 4, 8, 16, 32, 64, 120, 120]
    assert list(islice(pauses(10), 4)) == [2, 4, 8, 10]


def test_listing_is_read_by_id_and_what_is_no_job_left_out():
    assert LISTING.count("|") == 6
    text = (
        "12|PENDING|Priority|2026-11-28T06:20:11||/home/me/x|N83k_T8_V16_n400_s0.finetune_run.digits\n"
        "13|NODE_FAIL|NodeDown|2026-11-28T06:20:12|gpu[01-02]|/home/me/x|a|b.digits\n"
        "slurm_load_jobs error\n"
        "14|RUNNING|None|N/A|gpu01|/home/me/x|other\n"
    )
    jobs = parse_listing(text)
    assert set(jobs) == {"12", "13", "14"}
    assert [jobs[number].lives for number in ("12", "13", "14")] == [True, False, True]
    assert jobs["13"].name == "a|b.digits"
    assert jobs["13"].submitted - jobs["12"].submitted == 1
    assert jobs["14"].submitted == 0


def test_names_of_jobs_begin_with_the_run():
    run = "N83.3k_T8_V16_n400_s0"
    assert job_name("digits", "finetune_run", run) == f"{run}.finetune_run.digits"
    assert job_name("digits", "finetune_run_on_nodes", run) == f"{run}.finetune_run_on_nodes.digits"
    assert job_name("digits", "fit_target", "avg") == "fit_target.avg.digits"
    assert job_name("digits", "encode_frames", "") == "encode_frames.digits"


def test_a_client_that_is_not_there_has_failed():
    answer = call(["no-such-client"])
    assert answer.status != 0
    assert "no-such-client" in answer.said


def packable(run: str, pack: int | None, partition: str = "gpu") -> SimpleNamespace:
    resources = {"gpu": 1, "cpus_per_task": 2, "mem_mb": 1000, "runtime": 30 if run == "a" else 60, "pack": pack}
    return SimpleNamespace(
        is_group=lambda: False,
        rule=SimpleNamespace(name="finetune_run"),
        wildcards=[run],
        threads=1,
        resources={key: value for key, value in (resources | {"slurm_partition": partition}).items() if value},
    )


def test_small_jobs_that_are_alike_are_packed_and_all_others_alone():
    from vlmfrontier.cluster.batch import batches  # noqa: PLC0415 — needs Snakemake

    jobs = [packable("a", 2), packable("b", None), packable("c", 2), packable("d", 2), packable("e", 2, "gpu-high")]
    packed = {batch.wildcards: batch for batch in batches(jobs)}
    assert set(packed) == {"b", "a+c", "d", "e"}
    pack = packed["a+c"]
    assert (pack.name, pack.short_wildcards) == ("finetune_run", "a+1")
    asked = {key: pack.resources[key] for key in ("gpu", "cpus_per_task", "mem_mb", "runtime")}
    assert asked == {"gpu": 2, "cpus_per_task": 4, "mem_mb": 2000, "runtime": 60}
    assert packed["d"].resources.gpu == 1
