"""Where the results come from: versions, commits, seeds, hours, files."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vlmfrontier.provenance import provenance as of_this_process
from vlmfrontier.report.blocks import Block, Heading, Items, Text, table
from vlmfrontier.report.known import Known

STAGES = ("finetune", "evaluate")
FILES = (
    ("runs.csv", "one row per run"),
    ("laws/", "fitted laws and their resamples"),
    ("tables/", "forms, elasticity, checks, regret"),
    ("frontier/", "x* for every budget and n, a file per target"),
    ("figures/", "figures, as PNG and SVG"),
    ("explorer.html", "the frontier to play with, in a browser"),
    ("study.json", "the study with every key"),
)


def provenance(known: Known) -> Iterator[Block]:
    """Yield what was computed where, with what, from which seeds, and in how many hours."""
    yield Heading("Provenance")
    study = known.study
    laws = f"laws: seed {study.laws.seed}, {study.laws.starts} starts, {study.laws.resamples} resamples"
    facts = [f"study `{study.study}`, seed {study.seed}; {laws}"]
    if records := _complete(known):
        facts += list(_of_runs(records))
    yield Items(tuple(facts))
    versions = _versions(known)
    if versions:
        yield table(("package", "version"), versions, "Versions that the results were made with.")
    present = [(f"`{name}`", text) for name, text in FILES if (known.folder / name).exists()]
    if present:
        yield Text("Files beside this page:")
        yield Items(tuple(f"{name}: {text}" for name, text in present))


def _complete(known: Known) -> list[dict[str, Any]]:
    """Return the results that say where they come from."""
    there = {"device", "commit", "finished", "versions"}
    return [
        record
        for record in known.records
        if {"seed", "seconds", "provenance"} <= record.keys() and there <= record["provenance"].keys()
    ]


def _of_runs(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    seeds = sorted({record["seed"] for record in records})
    yield f"seeds of the runs: {', '.join(map(str, seeds))}"
    finetuning, evaluation = (sum(record["seconds"].get(stage) or 0 for record in records) for stage in STAGES)
    yield f"time: {_hours(finetuning)} finetuning and {_hours(evaluation)} evaluation, all {len(records)} runs together"
    where = [record["provenance"] for record in records]
    yield f"device: {_counted(found['device'] for found in where)}"
    commits = _counted(found["commit"] or "not from a repository" for found in where)
    yield f"commit: {commits} (a `+`: with changes that were not committed)"
    yield f"finished: {min(found['finished'] for found in where)} to {max(found['finished'] for found in where)}"
    tested = {record["test"]["hash_videos"] for record in records if "hash_videos" in record.get("test", {})}
    yield f"test videos: {', '.join(f'`{name}`' for name in sorted(tested))}"


def _counted(values: Iterable[str]) -> str:
    """Return each value with how often it occurs, the most frequent first; a single one without."""
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} runs)" for value, count in counts.most_common())


def _hours(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _own_versions() -> dict[str, str]:
    """Return the versions that fits of a finished table depend on."""
    versions = of_this_process("cpu")["versions"]
    return {package: versions[package] for package in ("python", "vlmfrontier", "numpy")}


def _versions(known: Known) -> list[tuple[str, str]]:
    """Return package and version of the runs; where nothing was trained, of this process."""
    found: dict[str, Counter] = {}
    records = [record["provenance"]["versions"] for record in _complete(known)] or [_own_versions()]
    for versions in records:
        for package, version in versions.items():
            found.setdefault(package, Counter())[version] += 1
    return [(package, ", ".join(version for version, _ in counts.most_common())) for package, counts in found.items()]
