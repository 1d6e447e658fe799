"""Whatever stands at a key: the study is accepted and can be planned, or refused with its key, and nothing else."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vlmfrontier.cluster.site import Site, read_site
from vlmfrontier.errors import UserError
from vlmfrontier.study.load import load_study, validate
from vlmfrontier.sweep.runs import plan_runs

ROOT = Path(__file__).parents[3]
NESTED = {"a": {"b": [{"c": None}]}}
ODD = [
    *(None, -1, 0, 1e400, -1e400, float("nan"), 10**30, 10**400, 0.5, 1e-320, 10**9, True),
    *("", "x" * 300, "1e3", "a\0b", "../..", "ñ/ü", [], {}, [None], [[1]], [float("inf")], [0], NESTED, {"to": 10**7}),
    *({"from": 1, "to": "10M"}, {"squares": "1G"}, {"from": 1, "to": 2, "count": 1e9}, {"x": -1}, b"\xff"),
]
MORE = {
    "finetune": {"lora": {}},
    "data": {"llava": {"align": {"name": "a", "annotations": "a.json", "videos": "v", "count": 4}}},
    "cost": {"M": 4.0e8, "W": 768},
    "execution": {"gpus": {"xs": 2}},
    "space": {"T": [1, 2]},
}


@cache
def trained() -> dict[str, Any]:
    study = load_study([ROOT / "workflow/studies/smoke.yaml"], MORE)
    given = study.model_dump(mode="json", by_alias=True)
    # What matters less is left out, since each of its keys would be tried for every language model and task.
    given["evaluate"]["lmms_eval"]["tasks"] = {"own": {"tasks": ["own"], "metric": "m", "best": 1}}
    given["models"]["language"] = {name: given["models"]["language"][name] for name in ("xs", "s")}
    return given


@cache
def of_table() -> dict[str, Any]:
    study = load_study([ROOT / "workflow/studies/chinchilla.yaml"])
    return study.model_dump(mode="json", by_alias=True)


def places(given: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every value inside `given`; of long lists the first one."""
    if path:
        yield path
    items = given.items() if isinstance(given, dict) else enumerate(given[:1]) if isinstance(given, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def changed(given: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    """Return a copy of `given` with `value` at `path`."""
    copied = deepcopy(given)
    node = copied
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return copied


def outcome(given: dict[str, Any]) -> str:
    """Return what is wrong with a study, nothing if it can be planned."""
    try:
        study = validate(given)
        costs = [run.c for run in plan_runs(study)] if study.trained else []
    except UserError as error:
        return str(error)
    assert np.isfinite(costs).all()
    assert min(costs, default=1) > 0
    return ""


@pytest.mark.parametrize("section", [*trained(), "table"])
def test_an_odd_value_is_accepted_and_planned_or_refused(section: str):
    base = of_table() if section == "table" else trained()
    failed, tried = [], 0
    for path in places({section: base[section]}):
        for value in ODD:
            tried += 1
            try:
                told = outcome(changed(base, path, value))
            except (Exception, AssertionError) as error:
                failed.append(
                    f"{'.'.join(map(str, path))} = {str(value)[:30]!r}: {type(error).__name__}: {error}"[:300]
                )
            else:
                if any(len(line) > 1_000 for line in told.splitlines()):
                    failed.append(f"{path}: a message of {len(told)} letters")
    assert tried
    assert not failed, "\n".join(failed)


def test_an_odd_value_in_a_site_file_is_accepted_or_refused(tmp_path: Path):
    given = {**Site().model_dump(mode="json"), "gpu": Site().gpu[0].model_dump()}
    for path in places(given):
        for value in ODD:
            try:
                site = Site.model_validate(changed(given, path, value))
            except ValidationError:
                continue
            gpu = site.gpu[0]
            assert np.isfinite([gpu.hours, gpu.flops, gpu.memory, site.warning, site.minutes]).all()
    (tmp_path / "site.yaml").write_text("gpu: {hours: .inf}")
    with pytest.raises(UserError, match=r"gpu\.hours = inf"):
        read_site(tmp_path / "site.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "x" * 300}, "write at most 100 bytes"),
        ({"study": "README.md"}, "results/README.md is a file"),
        ({"finetune": None}, "finetune: is empty; leave the section out"),
        ({"sweep": None}, "sweep: is empty"),
        ({"laws": None}, "laws: expected a map"),
        ({"finetune": {"train": []}}, "name at least one part"),
        ({"finetune": {"train": ["vision", "vision"]}}, "each one once"),
        ({"finetune": {"batch_size": 0}}, "greater than or equal to 1"),
        ({"finetune": {"batch_size": True}}, "must be a number, not true or false"),
        ({"finetune": {"learning_rates": {"vision": float("inf")}}}, "finite number"),
        ({"finetune": {"max_grad_norm": 1e400}}, "finite number"),
        ({"frontier": {"examples": [float("inf")]}}, "frontier.examples = inf: must be a finite number"),
        ({"frontier": {"budgets": {"from": 1, "to": "2M", "count": 1_000_000_000}}}, "less than or equal to 10000"),
        ({"laws": {"seed": -1}}, "greater than or equal to 0"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"pretrain": {"seed": -1}}, "greater than or equal to 0"),
        ({"data": {"digits": {"seed": 2**32}}}, "less than 4294967296"),
        ({"models": {"attention": "sdap"}}, "expected 'sdpa', 'eager' or 'flash_attention_2'"),
        ({"models": {"vision": {"patch_size": 7}}}, "patch_size 7 does not divide image_size 64"),
        ({"models": {"vision": {"heads": 0}}}, "greater than or equal to 1"),
        ({"models": {"vision": {"hidden_size": 10**9}}}, "less than or equal to 1000000"),
        ({"models": {"language": {"xs": {"layers": 10**6}}}}, "less than or equal to 10000"),
        ({"models": {"language": {"xs": {"hidden_size": 6, "heads": 2}}}}, "must be even"),
        ({"models": {"language": {"vision": {"hidden_size": 8, "layers": 1, "heads": 1}}}}, "models/vision is taken"),
        (
            {"models": {"start": None, "language": {"own": {"hidden_size": 8, "layers": 1, "heads": 1}}}},
            "pretrain.align.learning_rates.projector",
        ),
        ({"space": {"T": {"from": 1, "to": "10M"}}}, "stands for 10,000,000 levels"),
        ({"space": {"V": {"squares": "1G"}}}, "stands for 1,000,000,000 levels"),
        ({"space": {"T": {"from": 1, "to": 1e400}}}, "is not a whole positive number"),
        ({"sweep": {"designs": {"isoflop": {"space": {"T": {"from": 1, "to": "10M"}}}}}}, "10,000,000 levels"),
        (
            {
                "sweep": {
                    "designs": {"star": None, "all": {"design": "grid", "T": {"from": 1, "to": 9999}, "n": [8] * 30}}
                }
            },
            "has 299,970 combinations",
        ),
        ([1], "the changes on top (--set): expected a map"),
    ],
)
def test_what_is_refused_says_why(changes: Any, message: str):
    with pytest.raises(UserError) as error:
        load_study([ROOT / "workflow/studies/smoke.yaml"], changes)
    assert message in str(error.value)
    assert all(line.startswith(("study ", "the changes")) for line in str(error.value).splitlines())
