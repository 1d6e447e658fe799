"""What each result of the analysis was made from: a record beside it in `made/`, compared when it is read and planned.

A record holds the settings that decided the files, the hashes of what they were made from, and of themselves. So laws
of another table, half a bag, a frontier of other budgets and a figure of other laws are known as such, wherever and
however they were copied. Whatever has a record is compared: a new table or figure needs only to be noted.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from vlmfrontier.errors import UserError
from vlmfrontier.files import hash_file, write_json
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.records import again, read_checked
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.differences import differences, named
from vlmfrontier.sweep.fingerprints import collect_settings, frontier_settings, laws_settings, table_settings
from vlmfrontier.sweep.runs import plan_runs


class _Made(BaseModel):
    model_config = ConfigDict(strict=True)

    settings: dict[str, Any]
    sources: dict[str, str | None]
    files: dict[str, str]


def note(study: Study, results: ResultsFolder, name: str) -> None:
    """Note what a file (`runs.csv`, `tables/regret.csv`, …) that has just been written, or the laws of a target
    (`laws/avg`), were made from."""
    kind = _kind(name)
    path = _record(results, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    hashes = {file.relative_to(results.root).as_posix(): _hash(file) for file in _files(results, name)}
    content = {"settings": kind.settings(study), "sources": _sources(study, results, kind), "files": hashes}
    write_json(path, content)


def _files(results: ResultsFolder, name: str) -> list[Path]:
    """Return the files that one record is about."""
    if name == "runs.csv":
        return [path for path in (results.runs_csv, results.runs_json) if path.exists()]
    if _of_target(name):
        return [path for path in sorted((results.root / name).iterdir()) if path.name != "profile.csv"]
    return [results.root / name]


def outdated(study: Study, results: ResultsFolder, name: str, whole: bool = True) -> list[str]:
    """Return why a file, or the laws of a target, are not those of the study as it is.

    Empty if they are, or if nobody noted what they were made from. `whole` also compares the files with what was
    written.
    """
    if name == "runs.csv" and not results.runs_csv.exists():
        return []  # nothing there, nothing outdated: whoever reads it says so
    kind = _kind(name)
    found = _outdated(results, name, kind.settings(study), _sources(study, results, kind), kind.rule, whole)
    return [*found, *_foreign_runs(study, results)] if name == "runs.csv" else found


def _foreign_runs(study: Study, results: ResultsFolder) -> list[str]:
    """Return whether `runs.csv` has runs that the study does not plan, where it plans some; it need not have all."""
    planned = {run.key for run in plan_runs(study)}
    foreign = [run for run in _runs(results.runs_csv) if run not in planned] if planned else []
    return [f"{len(foreign)} of its runs are not planned, first {foreign[0]}"] if foreign else []


def _runs(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row["run"] for row in csv.DictReader(file) if row.get("run")]
    except (OSError, ValueError, csv.Error):
        return []  # whoever reads it says what is wrong with it


def outdated_analysis(study: Study, results: ResultsFolder) -> dict[str, list[str]]:
    """Return why results of the analysis are to be made again, by the path of one output of their rule.

    Files are compared with what was written only where they are read.
    """
    found: dict[str, list[str]] = {}
    if why := outdated(study, results, "runs.csv", whole=False):
        found["runs.csv"] = why
    given: dict[_Kind, tuple[dict[str, Any], dict[str, str | None]]] = {}
    for name in _noted(results):
        kind = _kind(name)
        if kind not in given:
            given[kind] = kind.settings(study), _sources(study, results, kind)
        if why := _outdated(results, name, *given[kind], kind.rule, whole=False):
            found[f"{name}/weights.json" if _of_target(name) else name] = why
    return found


def _noted(results: ResultsFolder) -> list[str]:
    """Return what has a record, but for the table of runs; figures and pages last."""
    names = [path.relative_to(results.made).as_posix().removesuffix(".json") for path in results.made.rglob("*.json")]
    return sorted(set(names) - {"runs.csv"}, key=lambda name: (name.endswith((".png", ".html")), name))


def refuse_outdated(study: Study, results: ResultsFolder, name: str) -> None:
    """Raise `UserError` with the reasons if a file, or the laws of a target, are not those of the study as it is."""
    if why := outdated(study, results, name):
        what, rule = results.root / name, _kind(name).rule
        raise UserError(f"{what}: not of the study as it is now: {named(why)}; run `snakemake {rule}`")


def _runs_settings(study: Study) -> dict[str, Any]:
    return collect_settings(study) if study.table is None else table_settings(study)


def _whole(study: Study) -> dict[str, Any]:
    return study.model_dump(mode="json", by_alias=True)


class _Kind(NamedTuple):
    """What decides some files."""

    settings: Callable[[Study], dict[str, Any]]
    sources: tuple[str, ...]
    """What they are made from: the user's own table, the run table, measured costs, laws."""
    rule: str
    """What makes them again."""


_OF_TABLE = _Kind(laws_settings, ("table",), "laws")
_OF_LAWS = _Kind(laws_settings, ("table", "laws"), "laws")
_OF_FRONTIER = _Kind(frontier_settings, ("table", "costs", "laws"), "frontier")
_KINDS = {
    "runs.csv": _Kind(_runs_settings, ("own table",), "collect"),
    "plan.csv": _Kind(_whole, (), "plan"),
    "tables/forms.csv": _OF_LAWS,
    "tables/formulas.csv": _OF_LAWS,
    "tables/fitting.csv": _OF_TABLE._replace(rule="ablation_tables"),
    "tables/bagging.csv": _OF_TABLE._replace(rule="ablation_tables"),
    "tables/checks.csv": _OF_FRONTIER._replace(rule="checks"),
    "next_runs.csv": _OF_FRONTIER._replace(rule="next_runs"),
    "recommendation.yaml": _OF_FRONTIER._replace(rule="report"),
    "report.html": _OF_FRONTIER._replace(rule="report"),
    "explorer.html": _OF_FRONTIER._replace(rule="explorer"),
}


def _kind(name: str) -> _Kind:
    if _of_target(name):
        return _OF_TABLE
    kinds = {"laws": _OF_LAWS, "figures": _OF_FRONTIER._replace(rule="figures")}
    return _KINDS.get(name) or kinds.get(name.split("/", maxsplit=1)[0], _OF_FRONTIER)


def _of_target(name: str) -> bool:
    """Say whether `name` is that of all laws of a target, `laws/<target>`."""
    return name.startswith("laws/") and name.count("/") == 1


def _sources(study: Study, results: ResultsFolder, kind: _Kind) -> dict[str, str | None]:
    found = {"table": _hash(results.runs_csv)} if "table" in kind.sources else {}
    if "own table" in kind.sources and study.table:
        found["table"] = _hash(Path(study.table.path))
    if "costs" in kind.sources and study.cost.table:
        found["cost.table"] = _hash(Path(study.cost.table.path))
    if "laws" in kind.sources:
        found |= {f"laws of {target}": _hash(_record(results, f"laws/{target}")) for target in study.targets()}
    return found


def _record(results: ResultsFolder, name: str) -> Path:
    return results.made / f"{name}.json"


def _hash(path: Path) -> str | None:
    return hash_file(path)[:16] if path.is_file() else None


def _outdated(
    results: ResultsFolder,
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
        broken = [file for file, then in record["files"].items() if _hash(results.root / file) != then]
        found += [f"{file} is not as it was written" for file in broken]
    return found
