"""Predicted against measured error, in and out of sample (the paper's Figure 3)."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style

TITLES = {
    "train": "in sample",
    "cv": "cross-validation",
    "loco": "left-out configuration",
    "extrapolation": "extrapolation",
}
"""What a setup is called on a figure."""


@style.styled
def fit_quality_figure(setups: Mapping[str, pd.DataFrame], label: str) -> Figure:
    """Return a panel per setup with the columns `measured` and `predicted` as points around the diagonal.

    The title gives the number of runs, E% = mean |f̂ − f| / f and R² of the points shown.
    """
    figure, axes = style.panels(1, len(setups), height=3.0, sharex=True, sharey=True)
    values = np.concatenate([frame[["measured", "predicted"]].to_numpy().ravel() for frame in setups.values()])
    ends = np.array([values.min(), values.max()]) + np.array([-0.03, 0.03]) * np.ptp(values)
    looks = _looks(setups.values())
    for panel, (setup, frame) in zip(axes[0], setups.items(), strict=True):
        _draw(panel, frame, ends, looks)
        panel.set_title(f"{TITLES.get(setup, setup)}: {_quality(frame)}")
        panel.set_xlabel("measured")
    axes[0, 0].set_ylabel(f"{label}, predicted")
    style.legend_below(figure, axes[0, 0])
    return figure


def _looks(frames: Iterable[pd.DataFrame]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of every sweep, the same in all panels."""
    sweeps = dict.fromkeys(name for frame in frames for name in frame.get("sweep", ()))
    return dict(zip(sweeps, zip(style.CATEGORIES, style.MARKERS, strict=True), strict=False))


def _draw(panel: Axes, frame: pd.DataFrame, ends: np.ndarray, looks: Mapping[str, tuple[str, str]]) -> None:
    panel.plot(ends, ends, color=style.MUTED, lw=1, zorder=1)
    groups = frame.groupby("sweep", sort=False) if "sweep" in frame else [(None, frame)]
    for name, rows in groups:
        color, marker = looks.get(name, (style.MEASURED, "o"))
        panel.plot(rows.measured, rows.predicted, marker, color=color, ms=4.5, mec="white", mew=0.5, label=name)
    panel.set_xlim(ends)
    panel.set_ylim(ends)
    panel.set_aspect("equal")


def _quality(frame: pd.DataFrame) -> str:
    residuals = frame.predicted - frame.measured
    relative = 100 * np.mean(np.abs(residuals) / frame.measured)
    explained = 1 - np.sum(residuals**2) / np.sum((frame.measured - frame.measured.mean()) ** 2)
    return f"{len(frame)} runs, {relative:.2g}%, R² {explained:.3f}"
