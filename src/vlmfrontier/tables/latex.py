"""Tables in LaTeX: headings with symbols in mathematics and units, a caption and a label, ready for \\input.

They need the packages booktabs, longtable and graphicx, and compile with any LaTeX: nothing but ASCII is written.
"""

import re
from collections.abc import Sequence

LONG, WIDE = 40, 8
"""With more rows a table breaks over pages; with more columns it is set smaller."""
HEAD = "% \\usepackage{booktabs, longtable, graphicx}"
HEADINGS = {
    "c": "$c${unit}",
    "cost": "cost{unit}",
    "training_cost": "training cost{unit}",
    "c_lo": "least $c${unit}",
    "c_hi": "largest $c${unit}",
    "mse": "MSE",
    "e_pct": "error (\\%)",
    "r2": "$R^2$",
    "e": "$e$",
    "e_median": "median $e$",
    "e_lo": "$e$, 5\\%",
    "e_hi": "$e$, 95\\%",
    "share_up": "fits rising",
    "share_down": "fits falling",
    "exponent": "$a$ of $x^* \\propto c^a$",
    "exponent_lo": "$a$, 5\\%",
    "exponent_hi": "$a$, 95\\%",
    "inside": "fits that have it",
    "lo": "5\\%",
    "hi": "95\\%",
    "se": "s.e.",
    "se_test": "s.e. of the test",
    "mean_regret": "mean loss",
    "mean_regret_lo": "5\\%",
    "mean_regret_hi": "95\\%",
    "largest_regret": "largest loss",
    "share": "share of vision",
    "more": "$MW / (NV)$",
    "as_good": "as good",
    "run_lo": "new run, 5\\%",
    "run_hi": "new run, 95\\%",
    "law_f": "$f(x^*)$",
    "free_f": "$f$ without a law",
    "second_error": "next best error",
    "gain_lo": "gain, 5\\%",
    "gain_hi": "gain, 95\\%",
    "beyond": "beyond the runs",
    "x_agrees": "$x^*$ agrees",
    "f_agrees": "$f$ agrees",
    "x*": "$x^*$",
}
"""Headings of columns, and names of quantities, that are not written as they are called."""
QUANTITIES = ("mse", "e_pct", "r2", "x*", "share_up", "share_down")
"""Of these the names that stand in cells, too."""
CAPTIONS = {
    "forms": "Every form of a law, in sample (train), on runs left out (cv), with configurations left out one by one "
    "(loco), and on runs that the split keeps apart (extrapolation). Error: mean relative error.",
    "formulas": "The chosen law of every target.",
    "fitting": "One law fitted in other ways: losses, starts, bounds, without logarithms.",
    "bagging": "One law with other numbers of resamples, by median and mean.",
    "elasticity": "Elasticity $e$ of the recommended configuration $x^*$ in the number of examples $n$, with the 90\\% "
    "band over the resampled fits.",
    "elasticity_ablation": "Elasticity $e$ under other settings of its average.",
    "exponents": "Exponent $a$ of $x^* \\propto c^a$, with its 90\\% interval.",
    "checks": "Power laws along each factor alone, prediction of unseen runs, and $x^*$ against $n$.",
    "regret": "Points of error that simpler rules lose against $x^*$, averaged over the budgets, with the 90\\% range "
    "over the resampled fits.",
    "vision_share": "Share of the vision model in the cost $c(x)$.",
    "differences": "Differences of runs (second less first) with 90\\% intervals.",
    "checkpoint": "One trained model at many budgets: the best levels at which it was tested, what retraining it "
    "there would gain, with 90\\% intervals, and at which levels a model of its size is best trained by the law.",
    "law_free": "The best measured run of equal cost, and what the law says of it.",
}
"""Captions by the name of a table."""
_SPECIAL = {"\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
_SPECIAL |= {sign: f"\\{sign}" for sign in "&%$#_"}
_SPECIAL |= {"<": "$<$", ">": "$>$", "|": "$|$", "→": "$\\to$", "±": "$\\pm$", "−": "$-$", "–": "--", "×": "$\\times$"}
_SPECIAL |= {
    "·": "$\\cdot$",
    "∝": "$\\propto$",
    "≤": "$\\le$",
    "≥": "$\\ge$",
    "²": "$^2$",
    "…": "\\dots{}",
    "√": "$\\surd$",
}
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ξ": "xi"}
_SPECIAL |= {letter: f"$\\{name}$" for letter, name in _GREEK.items()}
_NUMBER = re.compile(r"[<>]?[+-]?\d[\d.,]*(e[+-]?\d+)?[kMGBTPEZY%]?")
_OPTIMUM = re.compile(r"\bx\*")


def latex(
    columns: Sequence[str], rows: Sequence[Sequence[str]], stem: str, study: str, unit: str = "", widths: str = ""
) -> str:
    """Return a table as LaTeX; cells that begin and end with `$` are mathematics already.

    `unit` is what costs count, `widths` the columns' specification where the default will not do.
    """
    by_column = zip(*rows, strict=True) if rows else [()] * len(columns)
    specification = widths or "".join("r" if _is_numeric(column) else "l" for column in by_column)
    head = " & ".join(heading(column, unit) for column in columns) + r" \\"
    body = [" & ".join(map(cell, row)) + r" \\" for row in rows]
    caption = f"\\caption{{{CAPTIONS.get(stem, escape(stem))} Study {escape(study)}.}}\\label{{tab:{study}-{stem}}}"
    written = _long if len(rows) > LONG else _short
    return "\n".join([HEAD, *written(specification, head, body, caption, len(columns) > WIDE), ""])


def _short(specification: str, head: str, body: list[str], caption: str, wide: bool) -> list[str]:
    inside = [f"\\begin{{tabular}}{{{specification}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    begin, end = (r"\resizebox{\linewidth}{!}{%", "}") if wide else ("", "")
    lines = [r"\begin{table}", r"\centering", caption, begin, *inside, r"\end{tabular}" + end, r"\end{table}"]
    return [line for line in lines if line]


def _long(specification: str, head: str, body: list[str], caption: str, wide: bool) -> list[str]:
    begin = [r"\begingroup\tiny\setlength{\tabcolsep}{2pt}" if wide else r"\begingroup\footnotesize"]
    heads = [r"\toprule", head, r"\midrule"]
    first = [caption + r"\\", *heads, r"\endfirsthead", *heads, r"\endhead", r"\bottomrule", r"\endfoot"]
    return [*begin, f"\\begin{{longtable}}{{{specification}}}", *first, *body, r"\end{longtable}", r"\endgroup"]


def heading(column: str, unit: str = "") -> str:
    """Return the heading of a column: `$N$`, `$c$ (FLOPs per video)`, `median $e$`."""
    if column in HEADINGS:
        return HEADINGS[column].replace("{unit}", f" ({escape(unit)})" if unit else "")
    if len(column) == 1:
        return f"${column}$"
    for prefix, said in (("law_", "${}^*$"), ("free_", "${}$ without a law")):
        if column.startswith(prefix):
            return said.format(escape(column.removeprefix(prefix)))
    return escape(column.replace("_", " "))


def cell(text: str) -> str:
    """Return a cell: mathematics as it stands, names of quantities as in headings, all else escaped."""
    if len(text) > 1 and text.startswith("$") and text.endswith("$"):
        return text
    return HEADINGS[text] if text in QUANTITIES else escape(text)


def escape(text: str) -> str:
    """Return text in which LaTeX finds nothing to obey, in ASCII."""
    parts = [_escaped(part) for part in _OPTIMUM.split(text)]
    return "$x^*$".join(parts)


def _escaped(text: str) -> str:
    signs = "".join(_SPECIAL.get(sign, sign) for sign in text)
    return signs.encode("ascii", "replace").decode()


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [text for text in column if text]
    return bool(filled) and all(map(_NUMBER.fullmatch, filled))
