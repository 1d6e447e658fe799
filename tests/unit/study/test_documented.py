"""The configuration is defined once: schema, shipped files and documentation follow from the classes."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from vlmfrontier.study.base import Section
from vlmfrontier.study.load import json_schema, load_study, read_with_base, sections
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "workflow/schemas/config.schema.json"
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow/studies").glob("*.yaml"))]


def test_the_schema_file_is_in_sync():
    assert json.loads(SCHEMA.read_text()) == json_schema(), "call: vlmfrontier schema"


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.name)
def test_every_shipped_study_is_valid(file: Path):
    study = load_study([file])
    assert study.study
    jsonschema.validate(json.loads(json.dumps(read_with_base(file))), json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("number", [0, 1])
def test_documented_models_are_valid(number: int):
    block = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/models.md").read_text(), re.DOTALL | re.MULTILINE)[number]
    models = ModelsConfig.model_validate(yaml.safe_load(block)["models"])
    assert {name: round(tower.parameters / 1e6, 1) for name, tower in models.towers.items()} in (
        {"": 413.0},
        {"clip": 290.9, "dinov2": 303.6},
    )


def test_the_default_study_has_the_defaults_of_the_classes():
    """config.yaml shows values for people; where a class has a default too, both say the same."""
    given = yaml.safe_load((ROOT / "config.yaml").read_text())
    bare = {key: given[key] for key in ("study", "sweep")}
    written, default = load_study([ROOT / "config.yaml"]), Study.model_validate(bare)
    for section in ("data", "models", "pretrain", "finetune", "evaluate", "laws", "cost", "execution"):
        assert getattr(written, section).model_dump() == getattr(default, section).model_dump() | _written_only(section)


def _written_only(section: str) -> dict:
    written = {"cost": {"model": "paper"}, "models": {"start": "workflow/pretrained/digits"}}
    return (written | {"laws": {"starts": 200, "preset": "fast", "split": "sweep != 'isoflop'"}}).get(section, {})


def test_every_key_is_documented():
    undocumented = [
        f"{section.__name__}.{name}"
        for section in sections(Section)
        if section.__module__.startswith("vlmfrontier.")
        for name in section.model_fields
        if not section.documentation().get(name)
    ]
    assert undocumented == []
