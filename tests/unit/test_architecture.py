"""docs/architecture.md shows the house as it stands."""

import re
import tomllib

import pytest

from tests.calling import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
PLACES = (ROOT, ROOT / "src/vlmfrontier")
NAMED = sorted({name for name in re.findall(r"`([\w./-]+)`", PAGE) if "/" in name or name.endswith((".py", ".toml"))})
OF_RESULTS = {"plan.csv", "runs.csv", "finetuned.json", "result.json"}


def test_the_picture_has_the_layers_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = re.findall(r'^    r\d+\["(.*)"\]', PAGE, re.MULTILINE)
    assert [row.split(" · ") for row in rows] == [layer.split(" | ") for layer in layers]


@pytest.mark.parametrize("name", [name for name in NAMED if name not in OF_RESULTS])
def test_what_it_names_exists(name):
    assert any((place / name).exists() for place in PLACES)


def test_the_first_page_leads_to_it():
    assert "docs/architecture.md" in (ROOT / "README.md").read_text()
