"""Levels of the factors that a study names, where they stand, and what is wrong with them."""

from collections.abc import Iterator, Sequence
from math import inf, isqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from vlmfrontier.errors import did_you_mean
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.space import VideoLevels, is_square
from vlmfrontier.study.sweep import (
    NEXT,
    Design,
    GridDesign,
    IsoflopDesign,
    LadderDesign,
    RowsDesign,
    StarDesign,
    SweepConfig,
)

if TYPE_CHECKING:
    from vlmfrontier.study.root import Study

KeyPath = tuple[str | int, ...]
FACTORS = ("N", "T", "V", "M")


class Conflict(NamedTuple):
    """A value that contradicts another part of the study."""

    path: KeyPath
    value: Any
    message: str


def _design_levels(design: Design) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield (path inside the design, factor, level) for every level a design names."""
    yield from _run_levels(design)
    yield from _levels_besides(design)


def _levels_besides(design: Design) -> Iterator[tuple[KeyPath, str, int]]:
    """Yield likewise those at which a design's runs are tested besides, and that they draw."""
    for key in ("also", "draw"):
        yield from _of_videos(getattr(design, key), (key,))


def _run_levels(design: Design) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield likewise the levels that a design's runs have themselves."""
    match design:
        case StarDesign():
            given = {("vary", factor): levels for factor, levels in design.vary.given().items()}
        case IsoflopDesign():
            given = {("space", factor): levels for factor, levels in design.space.given().items()}
        case GridDesign() | LadderDesign():
            given = {(factor,): levels for factor in FACTORS if (levels := getattr(design, factor)) is not None}
        case RowsDesign():
            given = {("rows", i, f): [getattr(row, f)] for i, row in enumerate(design.rows) for f in FACTORS}
    for path, levels in given.items():
        yield from ((path, str(path[-1]), level) for level in levels)


def _of_videos(levels: VideoLevels | str | None, path: KeyPath) -> Iterator[tuple[KeyPath, str, int]]:
    """Yield (path, factor, level) of T and V at which runs are tested besides, or that they draw."""
    if isinstance(levels, VideoLevels):
        for factor in ("T", "V"):
            yield from (((*path, factor), factor, level) for level in getattr(levels, factor) or ())


def levels_of(sweep: SweepConfig) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield (path, factor, level) for every level named in the sweep."""
    for factor in FACTORS if sweep.center else ():
        yield ("sweep", "center", factor), factor, getattr(sweep.center, factor)
    for name, design in sweep.designs.items():
        for path, factor, level in _design_levels(design):
            yield ("sweep", "designs", name, *path), factor, level


def elsewhere_of(study: "Study") -> Iterator[tuple[KeyPath, str, int]]:
    """Yield (path, factor, level) of what all runs are tested at besides, and draw from."""
    yield from _of_videos(study.evaluate.also, ("evaluate", "also"))
    yield from _of_videos(study.finetune.draw, ("finetune", "draw"))


def never_below(study: "Study", elsewhere: Sequence[tuple[KeyPath, str, int]]) -> Iterator[Conflict]:
    """Yield levels that are above those of every run, of the study or of the design that names them, which no model is
    tested at or draws."""
    designs = study.sweep.designs
    most = {name: _largest(study.sweep, design) for name, design in designs.items()}
    for name, design in designs.items():
        if name == NEXT:  # whose runs are not known when it is said where they are tested
            continue
        for path, factor, level in _levels_besides(design):
            if level > most[name][factor]:
                yield _above(("sweep", "designs", name, *path), factor, level, most[name][factor], "this design")
    for path, factor, level in elsewhere:
        if level > (largest := max(each[factor] for each in most.values())):
            yield _above(path, factor, level, largest, "the sweep")


def _above(path: KeyPath, factor: str, level: int, most: float, of: str) -> Conflict:
    return Conflict(path, level, f"is above every {factor} of {of}, so that no run has it; at most {most:g}")


def _largest(sweep: SweepConfig, design: Design) -> dict[str, float]:
    """Return the largest T and V of a design's runs; infinite where they stand in a file."""
    given = [*_run_levels(design)]
    if isinstance(design, RowsDesign):
        given += [((), factor, inf) for factor in ("T", "V") if design.file is not None]
    elif sweep.center:
        named = {factor for _, factor, _ in given}
        starred = isinstance(design, StarDesign)
        given += [((), f, getattr(sweep.center, f)) for f in ("T", "V") if starred or f not in named]
    return {factor: max((level for _, name, level in given if name == factor), default=inf) for factor in ("T", "V")}


def level_problems(
    models: ModelsConfig, examples: int | None, path: KeyPath, factor: str, level: Any
) -> Iterator[Conflict]:
    """Yield what is wrong with one level: no such language model, an impossible grid of tokens, too many examples."""
    vision = models.largest_tower
    if factor == "M":
        yield from _vision_problems(models, path, level)
    if factor == "N" and level not in models.language:
        yield Conflict(path, level, "no such language model; " + did_you_mean(level, models.language))
    if factor == "V" and not is_square(level):
        side = isqrt(level)
        near = " or ".join(str(k * k) for k in (side, side + 1) if 1 <= k <= vision.grid)
        yield Conflict(path, level, f"the tokens of a frame form a square grid; write {near or vision.features}")
    elif factor == "V" and level > vision.features:
        message = f"the vision model has {vision.features} features a frame ({vision.grid} x {vision.grid}); write less"
        yield Conflict(path, level, message)
    if factor == "n" and examples is not None and level > examples:
        yield Conflict(path, level, f"the training data has {examples} examples; ask for at most as many")


def _vision_problems(models: ModelsConfig, path: KeyPath, name: str | None) -> Iterator[Conflict]:
    """Yield what is wrong with the vision model of a level: one is named where there is one, or none of several."""
    towers = list(models.towers)
    if not models.several_towers and name is not None:
        yield Conflict(path, name, "the study has one vision model; leave M out, or name several under models.vision")
    elif models.several_towers and name not in towers:
        hint = "; " + did_you_mean(name, towers) if name else f"; write M: one of {', '.join(towers)}"
        yield Conflict(path, name, f"{'no such' if name else 'names no'} vision model{hint}")
