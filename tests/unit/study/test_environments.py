"""Environment files exist, parse, and agree with the pins, since no conda solve is run here."""

import re
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
