"""The explorer: one HTML file that answers any budget and n, without a server and without the network."""

import html
import json
from importlib import resources
from pathlib import Path

from vlmfrontier.report.assets import asset, filled
from vlmfrontier.report.explorer_data import explorer_data
from vlmfrontier.results import Results

SCRIPTS = ("engine.js", "format.js", "charts.js", "caveats.js", "explorer.js")
"""The page's own scripts, in the order in which they need each other."""


def write_explorer(results: Results, path: Path) -> Path:
    """Write the explorer of a study to `path` and return it.

    Raises `UserError` if the laws have not been fitted yet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(explorer_page(explorer_data(results) | {"footer": footer(results)}), encoding="utf-8")
    return path


def explorer_page(data: dict) -> str:
    """Return the page with everything it needs inside: styles, data, the plotting library, its own scripts."""
    parts = {
        "title": html.escape(f"{data['study']}: explorer"),
        "style": asset("explorer.css"),
        "plotly": plotting_library(),
        # Inside a script nothing but `<` could end it.
        "data": json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "scripts": "\n".join(asset(name) for name in SCRIPTS),
    }
    return filled("explorer.html", parts)


def footer(results: Results) -> list[str]:
    """Return how the page comes to its answers, in a few sentences."""
    config = results.config
    exactly = "" if results.cost is None else ", exactly as frontier/<target>.csv was made"
    answers = (
        f"The models are resamples of the laws fitted to {results.record.source}; the page evaluates them itself"
        f"{exactly}, and asks nothing of any server."
    )
    who = {
        "pool": f"Predicted is the median of {config.members} models of all forms, in proportion to their weights in "
        "cross-validation; the interval takes in the resamples of the richest form, unless the data reject it.",
        "paper": "Predicted is the median of the bagged form with most terms; its spread covers less than 90%.",
    }[config.pooling]
    link = "The address of this page holds what is chosen: copy it to share a question with its answer."
    return [answers, who, link]


def plotting_library() -> str:
    """Return the source of plotly.js, as the package plotly ships it."""
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
