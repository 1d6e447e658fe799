"""The commands of the laws as a user calls them: files where they belong, refusals without traceback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def study(folder: Path, table: dict, **laws) -> Path:
    """Write the study.json of a table study and return its path."""
    laws = {"forms": ["mult", "add"], "preset": "fast", "starts": 20, "resamples": 5} | laws
    path = folder / "results" / "mine" / "study.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"study": "mine", "table": table, "laws": laws}))
    return path


def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vlmfrontier", name, *arguments]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


JUDGE = {"judge": {"column": "mmbench_video_score_0_to_3", "kind": "score", "max": 3}}
INTERNVL = {
    "path": str(ROOT / "examples" / "messy" / "internvl2_mmbench_video.csv"),
    "factors": {"N": {"column": "total_params_billion"}, "T": {"column": "frames"}},
    "targets": JUDGE,
}


def test_a_table_becomes_laws_and_tables(tmp_path):
    file = study(tmp_path, INTERNVL)
    read = run("collect", "--study", file)
    assert "18 rows, 14 configurations" in read.stdout
    fitted = run("fit", "--study", file, "--target", "judge", "--threads", 1)
    assert fitted.returncode == 0, fitted.stderr
    assert "warning: duplicates: lines" in fitted.stderr
    assert "warning: two_levels: T has only the values 8 and 16" in fitted.stderr
    tables = run("law-tables", "--study", file, "--tables", "forms")
    assert tables.returncode == 0, tables.stderr
    law = json.loads((file.parent / "laws" / "judge" / "add.json").read_text())
    assert {warning.split(":")[0] for warning in law["warnings"]} >= {"duplicates", "two_levels"}
    words = (file.parent / "laws" / "judge" / "add.txt").read_text()
    assert "[[Variables]]" in words
    assert all(f"warning: {warning}" in words for warning in law["warnings"])
    assert (file.parent / "tables" / "forms.tex").exists()
    chosen = next(line for line in (file.parent / "tables" / "formulas.tex").read_text().splitlines() if "$f" in line)
    assert re.match(r"judge +& (mult|add)(-\w+)? +& \$f = .*N\^\{", chosen)
    assert "0 \\cdot" not in chosen
    assert (file.parent / "runs.csv").read_text().startswith("N,T,judge\n")


@pytest.mark.parametrize(
    ("name", "factors", "target", "message"),
    [
        ("nvila_table2", {"T": "frames"}, "overall_videomme_wo_sub", "3 distinct configurations in 4 rows"),
        ("longvu_context_tokens", {"V": "tokens_per_frame"}, "videomme", "line 8, column 'tokens_per_frame'"),
    ],
)
def test_a_hopeless_table_ends_in_one_line_and_status_2(tmp_path, name, factors, target, message):
    path = ROOT / "examples" / "messy" / f"{name}.csv"
    table = {"path": str(path), "factors": factors, "targets": {target: {"column": target, "kind": "accuracy"}}}
    done = run("collect", "--study", study(tmp_path, table))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_tables_before_laws_say_what_to_run_first(tmp_path):
    done = run("law-tables", "--study", study(tmp_path, INTERNVL))
    assert done.returncode == 2
    assert "run `snakemake laws` first" in done.stderr
