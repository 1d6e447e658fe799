"""Report and explorer of a study whose vision models have several sizes say so."""

from pathlib import Path

from tests.made_studies import fitted, with_profile_and_regret
from tests.made_towers import TOWERS, results, study
from vlmfrontier.report.explorer_data import explorer_data
from vlmfrontier.report.page import write_report


def test_report_and_explorer_name_the_vision_models(tmp_path: Path):
    made = with_profile_and_regret(fitted(results(tmp_path, study())))
    factors = {factor["name"]: factor for factor in explorer_data(made)["factors"]}
    assert factors["M"]["names"] == list(TOWERS)
    assert (factors["M"]["label"], factors["M"]["unit"]) == ("vision model size M", "parameters")
    _, page, *_ = write_report(made)
    said = page.with_suffix(".md").read_text()
    assert "N, T, V, M" in said or "vision model size M" in said
