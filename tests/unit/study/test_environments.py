"""Environment files exist, parse, and agree with the pins, since no conda solve is run here."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import rattler
import yaml

ROOT = Path(__file__).parents[3]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / f"envs/{name}.txt").read_text().splitlines()
    return dict(line.strip().split("==") for line in lines if line.strip())


PINS = pins("constraints")
LMMS_EVAL = pins("constraints-lmms-eval")
NAMED = sorted(
    {name for file in ROOT.glob("workflow/rules/*.smk") for name in re.findall(r"envs/(\w+)\.yaml", file.read_text())}
)


def test_every_rule_names_an_environment_that_exists():
    assert sorted(path.stem for path in (ROOT / "envs").glob("*.yaml")) == NAMED


@pytest.mark.parametrize("name", NAMED)
def test_an_environment_parses_and_agrees_with_the_pins(name: str):
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())
    assert set(environment) == {"channels", "dependencies"}
    *specs, pip = environment["dependencies"]
    assert {rattler.MatchSpec(spec).name.normalized for spec in specs} == {"python", "pip"}
    for pinned in pip["pip"]:
        package, version = pinned.split("==")
        assert PINS[package] == version, f"envs/{name}.yaml: {package} is pinned to {PINS[package]} in constraints.txt"


def test_the_analysis_environment_needs_no_torch():
    assert "torch" not in (ROOT / "envs/analysis.yaml").read_text().split("dependencies:")[1]


def test_pins_name_no_host_and_no_local_version():
    assert all(re.fullmatch(r"[\w.]+", version) for version in [*PINS.values(), *LMMS_EVAL.values()])


def test_models_are_tested_with_the_versions_that_trained_them():
    """Also with the same PyAV, whatever lmms-eval asks for: it decodes the frames."""
    shared = LMMS_EVAL.keys() & PINS.keys()
    assert {"torch", "transformers", "tokenizers", "safetensors", "numpy", "av"} <= shared
    assert {name: LMMS_EVAL[name] for name in shared} == {name: PINS[name] for name in shared}


def imported() -> set[str]:
    """Return the distributions that the package and the scripts import; lmms-eval has a Python of its own."""
    modules: set[str] = set()
    for folder in ("src", "scripts"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules.add(node.module.split(".")[0])
    known = packages_distributions()
    foreign = modules - sys.stdlib_module_names - {"vlmfrontier", "lmms_eval", "pydantic_core"}
    return {normal(known.get(module, [module])[0]) for module in foreign}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def test_what_is_imported_is_declared_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    assert imported() <= {normal(name) for names in lists for name in names}
    assert imported() <= {normal(name) for name in PINS}
