"""The explorer: one HTML file that answers any budget and n, without a server and without the network."""

import html
import json
from pathlib import Path

from vlmfrontier.report.assets import asset, filled
from vlmfrontier.report.explorer_data import explorer_data
from vlmfrontier.results import Results

SCRIPTS = (
    *("data.js", "statistics.js", "laws.js", "engine.js", "cost.js", "format.js", "caveats.js", "state.js"),
    *("scales.js", "chart.js", "pointing.js", "export.js", "charts.js", "figures.js"),
    *("answer.js", "mine.js", "pins.js", "runs.js", "controls.js", "explorer.js"),
)
"""The page's own scripts, in the order in which they need each other."""


def write_explorer(results: Results, path: Path) -> Path:
    """Write the explorer of a study to `path` and return it.

    Raises `UserError` if the laws have not been fitted yet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(explorer_page(explorer_data(results) | {"footer": footer(results)}), encoding="utf-8")
    return path


def explorer_page(data: dict) -> str:
    """Return the page with everything it needs inside: styles, data, scripts.

    Each target's laws stand apart, so that the page reads those that are asked for, and those of the main target before
    the scripts, which answer while the browser still reads the others.
    """
    targets = data.get("targets", {})
    laws = {name: _script(f"laws-{place}", one["laws"]) for place, (name, one) in enumerate(targets.items())}
    known = {name: {key: value for key, value in target.items() if key != "laws"} for name, target in targets.items()}
    parts = {
        "title": html.escape(f"{data['study']}: explorer"),
        "style": _colours(data) + asset("explorer.css"),
        "paper": asset("paper.css"),
        "data": _json(data | {"targets": known}),
        "laws": laws.pop(data["main"], ""),
        "others": "\n".join(laws.values()),
        "scripts": "\n".join(asset(name) for name in SCRIPTS),
    }
    return filled("explorer.html", parts)


def _json(data: object) -> str:
    """Return JSON that may stand inside a script, which nothing but `<` could end."""
    return json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _script(name: str, data: object) -> str:
    return f'<script type="application/json" id="{name}">{_json(data)}</script>'


def _colours(data: dict) -> str:
    """Return the figures' categories as the style sheet's colours."""
    colours = data.get("colours", {}).get("categories", [])
    return f":root {{ {' '.join(f'--category-{i}: {colour};' for i, colour in enumerate(colours))} }}\n"


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
        "cross-validation; the interval is their spread, with what their forms miss, widened as the runs are few.",
        "paper": "Predicted is the median of the bagged form with most terms; its spread covers less than 90%.",
    }[config.pooling]
    return [answers, who]
