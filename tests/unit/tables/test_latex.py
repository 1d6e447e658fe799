"""Tables in LaTeX: real headings, captions, labels, and a document that compiles."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.tables.latex import CAPTIONS, LONG, cell, escape, heading
from vlmfrontier.tables.writing import write_forms_table, write_formulas, write_table

FORMS = {"target": ["my_task", "avg"], "form": ["add", "own^2"], "setup": ["cv"] * 2, "mse": [1.0, np.nan]}
FORMS = pd.DataFrame(FORMS).assign(r2=0.5, e_pct=2.5, chosen=[True, False])
LAW = {"target": "my_task", "form": "add", "formula": "f = 3·N^(−0.5)", "units": "N in 1k", "tex": r"f = 3 \, N^{-0.5}"}
CHECKS = {"check": ["x* against n"] * 2, "quantity": ["x*", "r2"], "c": [1e8, np.nan], "value": [25.0, 0.99]}
WIDE = pd.DataFrame({f"law_{name}": [1.0] for name in "NTVMABCDE"} | {"verdict": ["x* not measured"]})
RULES = pd.DataFrame({"n": np.arange(LONG + 1.0), "rule": "50% & more_of #1 → ∝ ±é", "mean_regret_lo": -0.5})


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder of tables: a plain one, one with other names, a wide and a long one, formulas."""
    folder = tmp_path / "my_study" / "tables"
    write_table(pd.DataFrame(CHECKS), folder / "checks.csv", "FLOPs")
    write_table(WIDE, folder / "law_free.csv", "ms")
    write_table(RULES, folder / "regret.csv")
    write_table(RULES.iloc[:0], folder / "differences.csv")
    write_forms_table(FORMS, folder / "forms.csv")
    write_formulas(pd.DataFrame([LAW]), folder / "formulas.csv")
    return folder


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("N", "$N$"),
        ("c", "$c$ (FLOPs)"),
        ("r2", "$R^2$"),
        ("e_pct", r"error (\%)"),
        ("law_T", "$T^*$"),
        ("e_median", "median $e$"),
        ("some_thing", "some thing"),
    ],
)
def test_headings_are_symbols_and_words(column, said):
    assert heading(column, "FLOPs") == said


def test_nothing_in_a_cell_is_a_command_of_latex():
    assert escape("50% of a_b & c^2 {x} \\ #1 $") == (
        r"50\% of a\_b \& c\textasciicircum{}2 \{x\} \textbackslash{} \#1 \$"
    )
    assert escape("x* → é") == r"$x^*$ $\to$ ?"
    assert cell("r2") == "$R^2$"
    assert cell("$f = N^{-1}$") == "$f = N^{-1}$"


def test_every_table_has_a_caption_and_a_label_and_is_plain_text(tables: Path):
    files = sorted(tables.glob("*.tex"))
    assert len(files) == 6
    for file in files:
        text = file.read_text(encoding="ascii")
        assert CAPTIONS[file.stem] in text
        assert rf"Study my\_study.}}\label{{tab:my_study-{file.stem}}}" in text
    assert r"check & quantity & $c$ (FLOPs) & value \\" in (tables / "checks.tex").read_text()
    assert r"$x^*$ against n & $R^2$ &  & 0.99 \\" in (tables / "checks.tex").read_text()
    assert r"\begin{longtable}" in (tables / "regret.tex").read_text()
    assert r"\resizebox" in (tables / "law_free.tex").read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine (texlive-latex-recommended)")
def test_tables_compile(tables: Path, tmp_path: Path):
    inputs = "".join(rf"\input{{{file}}}" for file in sorted(tables.glob("*.tex")))
    begin = r"\documentclass{article}\usepackage{booktabs, longtable, graphicx}\begin{document}"
    (tmp_path / "all.tex").write_text(rf"{begin}{inputs}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
