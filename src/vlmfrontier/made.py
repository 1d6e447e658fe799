"""What each result of the analysis was made from: a record beside it in `made/`, compared when it is read and planned.

A record holds the settings that decided the files, the hashes of what they were made from, and of themselves. So laws
of another table, half a bag, a frontier of other budgets and a figure of other laws are known as such, wherever and
however they were copied. Whatever has a record is compared: a new table or figure needs only to be noted.
"""

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from vlmfrontier.errors import UserError
from vlmfrontier.files import hash_file, write_json
from vlmfrontier.records import again, read_checked
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import collect_settings, frontier_settings, laws_settings, table_settings
from vlmfrontier.sweep.outdated import differences, named
from vlmfrontier.sweep.runs import plan_runs

FOLDER = "made"


class _Made(BaseModel):
    model_config = ConfigDict(strict=True)

    settings: dict[str, Any]
    sources: dict[str, str | None]
    files: dict[str, str]


def note_runs(study: Study, results: Path) -> None:
    """Note what the run table, which has just been collected or read, was made from."""
    files = [results / "runs.csv", results / "runs.json"]
    _note(results, "runs.csv", *_of_runs(study), files)


def _of_runs(study: Study) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the settings and sources of `runs.csv`."""
    if study.table is not None:
        return table_settings(study), {"table": _hash(Path(study.table.path))}
    return collect_settings(study), {}


def outdated_table(study: Study, results: Path, whole: bool = True) -> list[str]:
    """Return why `runs.csv` is not that of the study as it is; a row of every run is not needed."""
    path = results / "runs.csv"
    if not path.exists():
        return []
    found = _outdated(results, "runs.csv", *_of_runs(study), "collect", whole)
    planned = {run.key for run in plan_runs(study)}
    rows = [row["run"] for row in _rows(path) if row.get("run")] if planned else []
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
    _note(results, f"laws/{target}", laws_settings(study), _sources(study, results, _OF_TABLE), files)


def note(study: Study, results: Path, name: str) -> None:
    """Note what a file (`tables/regret.csv`, `figures/star.png`, …) that has just been written was made from."""
    kind = _kind(name)
    _note(results, name, kind.settings(study), _sources(study, results, kind), [results / name])


def outdated(study: Study, results: Path, name: str) -> list[str]:
    """Return why a file, or the laws of a target (`laws/avg`), are not those of the study as it is.

    Empty if they are, or if nobody noted what they were made from.
    """
    kind = _kind(name)
    return _outdated(results, name, kind.settings(study), _sources(study, results, kind), kind.rule)


def outdated_analysis(study: Study, results: Path) -> dict[str, list[str]]:
    """Return why results of the analysis are to be made again, by the path of one output of their rule.

    Files are compared with what was written only where they are read.
    """
    why = outdated_table(study, results, whole=False)
    found = {"runs.csv": why} if why else {}
    given: dict[_Kind, tuple[dict[str, Any], dict[str, str | None]]] = {}
    for name in _noted(results):
        kind = _kind(name)
        if kind not in given:
            given[kind] = kind.settings(study), _sources(study, results, kind)
        if why := _outdated(results, name, *given[kind], kind.rule, whole=False):
            found[f"{name}/weights.json" if _of_target(name) else name] = why
    return found


def _noted(results: Path) -> list[str]:
    """Return what has a record, but for the table of runs; figures and pages last."""
    records = (results / FOLDER).rglob("*.json")
    names = [path.relative_to(results / FOLDER).as_posix().removesuffix(".json") for path in records]
    return sorted(set(names) - {"runs.csv"}, key=lambda name: (name.endswith((".png", ".html")), name))


def refuse_outdated(study: Study, results: Path, name: str) -> None:
    """Raise `UserError` with the reasons if a file, or the laws of a target, are not those of the study as it is."""
    _refuse(outdated(study, results, name), results / name, _kind(name).rule)


def refuse_outdated_runs(study: Study, results: Path) -> None:
    """Raise `UserError` with the reasons if `runs.csv` is not that of the study as it is."""
    _refuse(outdated_table(study, results), results / "runs.csv", "collect")


def _refuse(why: list[str], what: Path, rule: str) -> None:
    if why:
        raise UserError(f"{what}: not of the study as it is now: {named(why)}; run `snakemake {rule}`")


def _whole(study: Study) -> dict[str, Any]:
    return study.model_dump(mode="json", by_alias=True)


class _Kind(NamedTuple):
    """What decides some files."""

    settings: Callable[[Study], dict[str, Any]]
    sources: tuple[str, ...]
    """What they are made from: the table, measured costs, laws."""
    rule: str
    """What makes them again."""


_OF_TABLE = _Kind(laws_settings, ("table",), "laws")
_OF_LAWS = _Kind(laws_settings, ("table", "laws"), "laws")
_OF_FRONTIER = _Kind(frontier_settings, ("table", "costs", "laws"), "frontier")
_KINDS = {
    "plan.csv": _Kind(_whole, (), "plan"),
    "tables/forms.csv": _OF_LAWS,
    "tables/fitting.csv": _OF_TABLE._replace(rule="ablation_tables"),
    "tables/bagging.csv": _OF_TABLE._replace(rule="ablation_tables"),
    "tables/checks.csv": _OF_FRONTIER._replace(rule="checks"),
    "next_runs.csv": _OF_FRONTIER._replace(rule="next_runs"),
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


def _sources(study: Study, results: Path, kind: _Kind) -> dict[str, str | None]:
    found = {"table": _hash(results / "runs.csv")} if "table" in kind.sources else {}
    if "costs" in kind.sources and study.cost.table:
        found["cost.table"] = _hash(Path(study.cost.table.path))
    if "laws" in kind.sources:
        found |= {f"laws of {target}": _hash(_record(results, f"laws/{target}")) for target in study.targets()}
    return found


def _record(results: Path, name: str) -> Path:
    return results / FOLDER / f"{name}.json"


def _hash(path: Path) -> str | None:
    return hash_file(path)[:16] if path.is_file() else None


def _note(
    results: Path, name: str, settings: Mapping[str, Any], sources: Mapping[str, str | None], files: Iterable[Path]
) -> None:
    path = _record(results, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    hashes = {file.relative_to(results).as_posix(): _hash(file) for file in files if file.exists()}
    write_json(path, {"settings": settings, "sources": sources, "files": hashes})


def _outdated(
    results: Path,
    name: str,
    settings: Mapping[str, Any],
    sources: Mapping[str, str | None],
    rule: str,
    whole: bool = True,
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
