"""Two records of settings compared: every key that differs, with both values, as messages name it."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vlmfrontier.sweep.fingerprints import HOUSEKEEPING

SHOWN = 4
"""Differences that a message names; the rest is counted."""
_UNDECIDED = HOUSEKEEPING | {"sharding", "shared"}
_NAMES = {
    "study_seed": "seed",
    "turns": "data.turns",
    "attention": "models.attention",
    "reading": "data.llava",
    "conversations": "conversations of data/train (hash)",
    "videos": "videos of data/train (hash)",
    "start": "starting weights (hash)",
    "weights": "finetuned weights (hash)",
    "test": "data/test",
}
_ABSENT = "not set"


def as_keys(
    settings: Mapping[str, Any], ignored: Collection[str] = _UNDECIDED, prefix: str = "", language: Any = None
) -> dict[str, Any]:
    """Return settings as values by their keys in the configuration, without those `ignored`, which decide nothing.

    Of learning rates those of the run's own language model are kept: others do not matter to it.
    """
    if not prefix:
        language = (settings.get("run") or settings).get("language")
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key if prefix else _NAMES.get(key, key)}"
        if key in ignored:
            continue
        if key == "learning_rates" and isinstance(value, Mapping) and isinstance(language, str):
            trained = settings.get("train", list(value))
            rates = {part: rate for part, rate in value.items() if part in trained}
            found |= {f"{name}.{part}.{language}": _of(rate, language) for part, rate in rates.items()}
        elif isinstance(value, Mapping):
            found |= as_keys(value, ignored, f"{name}.", language) if value else {name: {}}
        else:
            found[name] = value
    return found


def _of(rate: Any, language: str | None) -> Any:
    return rate.get(language) if isinstance(rate, Mapping) else rate


def differences(then: Mapping[str, Any], now: Mapping[str, Any], made: str = "made") -> list[str]:
    """Return `key: value when it was <made>, value now` for everything that differs between two records of settings."""
    return [f"{key}: {before} when it was {made}, {after} now" for key, before, after in changes(then, now)]


def changes(
    then: Mapping[str, Any], now: Mapping[str, Any], ignored: Collection[str] = _UNDECIDED
) -> list[tuple[str, str, str]]:
    """Return key, value then and value now of everything that differs between two records of settings."""
    old, new = (as_keys(json.loads(json.dumps(settings, default=str)), ignored) for settings in (then, now))
    return [
        (key, _said(old, key), _said(new, key))
        for key in dict.fromkeys([*new, *old])
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


def _said(values: Mapping[str, Any], key: str) -> str:
    text = str(values.get(key, _ABSENT))
    return text if len(text) <= 80 else f"{text[:77]}…"


def named(found: Iterable[str]) -> str:
    """Return the first few differences in one line, the rest counted."""
    listed = list(found)
    more = f" (and {len(listed) - SHOWN} more)" if len(listed) > SHOWN else ""
    return "; ".join(listed[:SHOWN]) + more


def settings_of_old_manifest(manifest: Mapping[str, Any], split: str, now: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a manifest that does not name them: of digits what else it says, else those of now."""
    if "seed" not in manifest or "handwriting" not in manifest:
        return now
    if split == "align":
        return {"pretrain.align.videos": manifest.get("videos"), "pretrain.seed": manifest["seed"]}
    own = {"data.digits.handwriting": manifest["handwriting"]} if split == "test" else {}
    return {f"data.digits.{split}": manifest.get("videos"), **own, "data.digits.seed": manifest["seed"]}


_CONTROL = "evaluate.control_videos"


def settings_of_old_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result that has no `recipe` says of what decided it. Every task asks once about each video."""
    test = {key: value for key, value in result.get("test", {}).items() if key.startswith("hash_")}
    asked = [task.get("questions", 0) for name, task in (result.get("wrong_video") or {}).items() if name != "avg"]
    tasks = [task for task in result["errors"] if task != "avg"]
    return {"tasks": tasks, "weights": result["training"]["weights"], "test": test, _CONTROL: max(asked, default=0)}


def as_old(now: Mapping[str, Any], result: Mapping[str, Any], control_videos: int) -> dict[str, Any]:
    """Return of `now` what can be compared with a result that has no `recipe`."""
    kept = {key: now[key] for key in ("tasks", "weights", "test") if key in now}
    videos = result.get("test", {}).get("videos")
    return kept | ({_CONTROL: min(control_videos, videos)} if "tasks" in now and isinstance(videos, int) else {})
