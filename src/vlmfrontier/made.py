"""What each result of the analysis was made from: a record beside it in `made/`, compared when it is read and planned.

A record holds the settings that decided the files, the hashes of what they were made from, and of themselves. So laws
of another table, half a bag and a frontier of other budgets are known as such, wherever and however they were copied.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vlmfrontier.errors import UserError
from vlmfrontier.files import hash_file, write_json
from vlmfrontier.records import again, read_checked
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import differences, named
from vlmfrontier.sweep.recipes import collect_settings, frontier_settings, laws_settings
from vlmfrontier.sweep.runs import plan_runs

FOLDER = "made"


class _Made(BaseModel):
    model_config = ConfigDict(strict=True)

    settings: dict[str, Any]
    sources: dict[str, str | None]
    files: dict[str, str]


def table_file(study: Study, results: Path) -> Path:
    """Return the table that the laws of a study are fitted to: the user's own, or `runs.csv`."""
    return Path(study.table.path) if study.table else results / "runs.csv"


def note_runs(study: Study, results: Path) -> None:
    """Note what the run table of a trained study, which has just been collected, was made from."""
    _note(results, "runs.csv", collect_settings(study), {}, [results / "runs.csv"])


def outdated_runs_table(study: Study, results: Path, whole: bool = True) -> list[str]:
    """Return why `runs.csv` of a trained study is not that of the study as it is; a row of every run is not needed."""
    path = results / "runs.csv"
    if not study.trained or not path.exists():
        return []
    found = _outdated(results, "runs.csv", collect_settings(study), {}, "collect", whole)
    planned = {run.key for run in plan_runs(study)}
    rows = [row["run"] for row in _rows(path) if row.get("run")]
    foreign = [run for run in rows if run not in planned]
    return [*found, *([f"{len(foreign)} of its runs are not planned, first {foreign[0]}"] if foreign else [])]


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []  # whoever reads it says what is wrong with it


def note_laws(study: Study, results: Path, target: str) -> None:
    """Note what the laws of a target, which have just been fitted, were made from."""
    folder = results / "laws" / target
    files = [path for path in sorted(folder.iterdir()) if path.name != "profile.csv"]
    _note(results, f"laws/{target}", laws_settings(study), _of_laws(study, results), files)


def note_frontier(study: Study, results: Path, name: str) -> None:
    """Note what a file of the frontier (`frontier/avg.csv`, `tables/regret.csv`, …) was made from."""
    _note(results, name, frontier_settings(study), _of_frontier(study, results), [results / name])


def outdated_laws(study: Study, results: Path, target: str, whole: bool = True) -> list[str]:
    """Return why the laws of a target are not those of the study as it is; empty if they are, or if nobody noted it.

    `whole` also compares the files with what was written.
    """
    return _outdated(results, f"laws/{target}", laws_settings(study), _of_laws(study, results), "laws", whole)


def outdated_frontier(study: Study, results: Path, name: str, whole: bool = True) -> list[str]:
    """Return why a file of the frontier is not that of the study as it is, like `outdated_laws`."""
    return _outdated(results, name, frontier_settings(study), _of_frontier(study, results), "frontier", whole)


def outdated_analysis(study: Study, results: Path) -> dict[str, list[str]]:
    """Return why results of the analysis are to be made again, by the path of one output of their rule."""
    why = outdated_runs_table(study, results, whole=False)
    found = {"runs.csv": why} if why else {}
    for target in study.targets():
        if why := outdated_laws(study, results, target, whole=False):
            found[f"laws/{target}/weights.json"] = why
    names = [f"frontier/{target}.csv" for target in study.targets()]
    for name in [*names, *(f"tables/{table}.csv" for table in ("elasticity", "regret")), "next_runs.csv"]:
        if why := outdated_frontier(study, results, name, whole=False):
            found[name] = why
    return found


def refuse_outdated(why: Iterable[str], what: Path, rule: str) -> None:
    """Raise `UserError` if there is a reason why results are not those of the study as it is."""
    if listed := list(why):
        raise UserError(f"{what}: not of the study as it is now: {named(listed)}; run `snakemake {rule}`")


def _of_laws(study: Study, results: Path) -> dict[str, str | None]:
    return {"table": _hash(table_file(study, results))}


def _of_frontier(study: Study, results: Path) -> dict[str, str | None]:
    measured = {"cost.table": _hash(Path(study.cost.table.path))} if study.cost.table else {}
    laws = {f"laws of {target}": _hash(_record(results, f"laws/{target}")) for target in study.targets()}
    return {"table": _hash(table_file(study, results)), **laws, **measured}


def _record(results: Path, name: str) -> Path:
    return results / FOLDER / f"{name}.json"


def _hash(path: Path) -> str | None:
    return hash_file(path)[:16] if path.is_file() else None


def _note(
    results: Path, name: str, settings: Mapping[str, Any], sources: Mapping[str, str | None], files: Iterable[Path]
) -> None:
    path = _record(results, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    hashes = {file.relative_to(results).as_posix(): _hash(file) for file in files}
    write_json(path, {"settings": settings, "sources": sources, "files": hashes})


def _outdated(
    results: Path,
    name: str,
    settings: Mapping[str, Any],
    sources: Mapping[str, str | None],
    rule: str,
    whole: bool,
) -> list[str]:
    path = _record(results, name)
    if not path.exists():
        return []
    try:
        record = read_checked(path, _Made, again(rule))
    except UserError as damaged:
        return [str(damaged)]
    found = differences(record["settings"], settings)
    for source, then in record["sources"].items():
        if source in sources and sources[source] != then and sources[source] is not None:
            found.append(f"{source}: it was made from another one ({then}) than there is now ({sources[source]})")
    if whole:
        broken = [file for file, then in record["files"].items() if _hash(results / file) != then]
        found += [f"{file} is not as it was written" for file in broken]
    return found
