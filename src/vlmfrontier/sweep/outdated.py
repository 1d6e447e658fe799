"""What decided a result, as the result itself says, against what decides it in the study as it is now.

Every training and evaluation keeps its settings and the hashes of what it was made from (`recipe` in finetuned.json and
result.json, `settings` in a manifest). So a result of another configuration is known wherever it was copied to, and
each difference is named with both values.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vlmfrontier.errors import UserError
from vlmfrontier.files import remembered_hash
from vlmfrontier.paths import ResultsFolder, RunFolder, level_name
from vlmfrontier.records import (
    Training,
    read_answered,
    read_checked,
    read_finetuned,
    read_manifest,
    read_result,
    read_training,
)
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.differences import (
    SHOWN,
    as_old,
    differences,
    settings_of_old_manifest,
    settings_of_old_result,
)
from vlmfrontier.sweep.fingerprints import (
    answered_settings,
    data_settings,
    result_settings,
    run_settings,
    settings_of_test,
    start_settings,
)
from vlmfrontier.sweep.runs import Run


class Identity:
    """What decides the results of a study as it is now, as far as files say; each file is read once."""

    def __init__(self, study: Study, results: Path):
        self.study, self.results = study, ResultsFolder(results)
        self._splits: dict[str, dict[str, Any] | None] = {}
        self._starts: dict[str, str | None] = {}

    # ---- what is there ----

    def manifest(self, split: str) -> dict[str, Any] | None:
        """Return a split's manifest; None if it is not there or damaged."""
        if split not in self._splits:
            self._splits[split] = _or_none(read_manifest, self.results.split(split))
        return self._splits[split]

    def start(self, run: Run) -> str | None:
        """Return the hash of the weights that a run starts from; None if they are not there."""
        name = self.study.models.start_name(run.language, run.vision)
        if name not in self._starts:
            self._starts[name] = self._start(name)
        return self._starts[name]

    def _start(self, name: str) -> str | None:
        if self.study.models.start is None:
            report = _or_none(read_checked, self.results.models / name / "report.json", Training, "")
            return report["weights"] if report else None
        folder = Path(self.study.models.start) / name
        if not any(folder.glob("*.safetensors")):
            return None
        return remembered_hash(folder, self.results.models / "hashes.json")

    # ---- comparisons: what differs, empty if nothing does ----

    def of_data(self, split: str) -> list[str]:
        """Return what differs between the settings that a split was made with and those of the study."""
        path = self.results.split(split) / "manifest.json"
        if not path.exists():
            return []
        try:
            manifest = read_manifest(path.parent)
        except UserError as damaged:
            return [str(damaged)]
        now = data_settings(self.study, split)
        then = manifest.get("settings") or settings_of_old_manifest(manifest, split, now)
        return differences(then, now)

    def of_training(self, run: Run, report: Mapping[str, Any]) -> list[str]:
        """Return what differs between the settings of a run's training and what decides it now.

        Hashes are compared with those of files that are there.
        """
        now, then = run_settings(self.study, run), report["recipe"]
        train, start = self.manifest("train"), self.start(run)
        known = {"start": start}
        if train is not None:
            known |= {"conversations": train["hash_conversations"], "videos": train["hash_videos"]}
        for key in ("conversations", "videos", "start"):
            now[key] = known.get(key) or then.get(key)
        return differences(then, now, "trained")

    def of_result(self, run: Run, result: Mapping[str, Any], trained: Mapping[str, Any] | None = None) -> list[str]:
        """Return what differs between the settings of a run's result and what decides it now, its training included.

        `trained` is the report of the run's training, if it is there. An older result without `recipe` is compared in
        what it says all the same: tasks, test data, weights.
        """
        training = result.get("training")
        found = self.of_training(run, training) if training else []
        if training is None and "recipe" not in result:
            return found
        then = result.get("recipe") or settings_of_old_result(result)
        weights = (trained or training or {}).get("weights", then.get("weights"))
        test = self.manifest("test") if self.study.evaluate.harness == "packed" else None
        now = result_settings(self.study, weights, test or then.get("test"))
        if "recipe" not in result:
            now = as_old(now, result, self.study.evaluate.control_videos)
            then = {key: then[key] for key in now}
        return found + differences(then, now, "evaluated")

    def of_test(self, run: Run, T: int, V: int, result: Mapping[str, Any], weights: str | None = None) -> list[str]:
        """Return what differs between the settings of a run's result at T and V and what decides it now.

        `weights` are those of its training, if that is there.
        """
        then = result.get("recipe") or {}
        test = self.manifest("test") if self.study.evaluate.harness == "packed" else None
        now = settings_of_test(self.study, T, V, weights or then.get("weights", ""), test or then.get("test"))
        return differences(then, now, "tested")

    def test_result(self, run: Run, T: int, V: int, weights: str) -> dict[str, Any] | None:
        """Return the result of a run at T and V if it is there, whole, of these weights and of the study as it is."""
        path = self.results.run(run.key).tested(T, V)
        result = _or_none(read_result, path) if path.exists() else None
        return None if result is None or self.of_test(run, T, V, result, weights) else result

    def of_tests(self, run: Run, weights: str | None = None) -> list[str]:
        """Return which tests of a run at T and V that are not its own are missing, and what differs in the others."""
        folder, missing, found = self.results.run(run.key), [], []
        for T, V in run.tested:
            path = folder.tested(T, V)
            if not path.exists():
                missing.append(level_name(T, V))
                continue
            try:
                why = self.of_test(run, T, V, read_result(path), weights)
            except UserError as damaged:
                why = [str(damaged)]
            found += [f"tested/{path.name}: {each}" for each in why]
        return _not_at("tested", missing) + found

    def of_answers(self, run: Run, answered: Mapping[str, Any], trained: Mapping[str, Any] | None) -> list[str]:
        """Return what differs between the settings of a run's answers to benchmarks and what decides them now."""
        weights = (trained or answered)["weights"]
        if "recipe" not in answered:
            found = differences({"weights": answered["weights"]}, {"weights": weights}, "answered")
        else:
            found = differences(answered["recipe"], answered_settings(self.study, run, weights), "answered")
        levels = [level_name(*at) for at in run.tested if level_name(*at) not in answered.get("tested", {})]
        return found + _not_at("answered", levels)


def _not_at(done: str, levels: Sequence[str]) -> list[str]:
    """Return that something was not done at these levels, the first few by name; nothing if there are none."""
    more = f" and {len(levels) - SHOWN} more" if len(levels) > SHOWN else ""
    return [f"not {done} at {', '.join(levels[:SHOWN])}{more}"] if levels else []


def _or_none(read: Any, *given: Any) -> Any:
    try:
        return read(*given)
    except UserError:
        return None


@dataclass
class Outdated:
    """What lies in a results folder and belongs to another configuration, or is damaged."""

    files: dict[str, list[str]] = field(default_factory=dict)
    """Why each file is to be made again, by its path in the results folder."""
    refused: dict[str, list[str]] = field(default_factory=dict)
    """Why runs would have to be evaluated again, by their keys, whose weights are gone."""


def outdated_runs(study: Study, runs: Iterable[Run], results: Path) -> Outdated:
    """Return which data, starting models, trainings and results belong to another configuration than `study`."""
    identity, found = Identity(study, results), Outdated()
    for split in study.data.splits() + ([] if study.models.start else ["align"]):
        if why := identity.of_data(split):
            found.files[f"data/{split}/manifest.json"] = why
    for name, settings in start_settings(study).items() if study.models.start is None else ():
        _compare(identity, results / name, read_training, partial(_of_start, settings), found)
    for run in runs:
        _compare_run(identity, run, found)
    return found


def _of_start(now: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Return what differs between the settings of a starting model and its settings now, of the keys that it says."""
    then = {key: report["recipe"][key] for key in now if key in report["recipe"]}
    return differences(then, {key: now[key] for key in then}, "trained")


def _compare_run(identity: Identity, run: Run, found: Outdated) -> None:
    folder = identity.results.run(run.key)
    trained = _compare(identity, folder.finetuned, read_finetuned, partial(identity.of_training, run), found)
    compare = partial(identity.of_answers, run, trained=trained)
    _compare(identity, folder.answered, read_answered, compare, found)
    compare = partial(identity.of_result, run, trained=trained)
    if _compare(identity, folder.result, read_result, compare, found):
        weights = trained["weights"] if trained else None
        _compare(identity, folder.result, read_result, lambda _: identity.of_tests(run, weights), found)
    again = folder.result if identity.study.evaluate.harness == "packed" else folder.answered
    why = found.files.get(_name(identity, again))
    if why and trained is not None and not folder.has_weights:
        found.refused[run.key] = why


def has_finished(study: Study, run: Run, results: Path) -> bool:
    """Return whether the training of `run` has finished with the study as it is, so that its job trains nothing."""
    identity = Identity(study, results)
    folder = identity.results.run(run.key)
    kept = _or_none(read_checked, folder.state / "finished.json", dict[str, Any], "")
    report = kept.get("report") if kept else _or_none(read_finetuned, folder.finetuned)
    if not isinstance(report, dict) or not isinstance(report.get("recipe"), dict):
        return False
    if kept is None and (folder.state / "train.jsonl").exists():
        return False
    gone = not folder.has_weights and not weights_dropped(study, folder, report)
    return not gone and not identity.of_training(run, report)


def weights_dropped(study: Study, folder: RunFolder, report: Mapping[str, Any]) -> bool:
    """Return whether the weights of a finished training are gone because its evaluation, which stands, was to drop
    them."""
    if study.finetune.keep_model or folder.has_weights:
        return False
    result = _or_none(read_result, folder.result)
    return bool(result and (result.get("training") or {}).get("weights") == report["weights"])


def _name(identity: Identity, path: Path) -> str:
    return path.relative_to(identity.results.root).as_posix()


def _compare(identity: Identity, path: Path, read: Any, compare: Any, found: Outdated) -> Any:
    """Return the record in `path` if it is there, whole and of this configuration; else None, and note why not."""
    if not path.exists():
        return None
    try:
        record = read(path)
        why = compare(record)
    except UserError as damaged:
        why = [str(damaged)]
    if not why:
        return record
    found.files[_name(identity, path)] = why
    return None
