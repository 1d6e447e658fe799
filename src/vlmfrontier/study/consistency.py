"""Mistakes that no single section can see: the sweep asks for what models or data do not have."""

import re
from collections.abc import Iterator
from math import isqrt, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from vlmfrontier.errors import did_you_mean
from vlmfrontier.study.space import is_square
from vlmfrontier.study.sweep import Design, GridDesign, IsoflopDesign, RowsDesign, StarDesign

if TYPE_CHECKING:
    from vlmfrontier.study.root import Study

KeyPath = tuple[str | int, ...]
MOST_COMBINATIONS = 200_000
"""Runs or candidates of one design."""
FACTORS = ("N", "T", "V", "M")


class Problem(NamedTuple):
    """A value that contradicts another part of the study."""

    path: KeyPath
    value: Any
    message: str


def problems(study: "Study") -> list[Problem]:
    """Return the contradictions between the sections of a study, the first one at each key."""
    found: dict[KeyPath, Problem] = {}
    for problem in _all_problems(study):
        found.setdefault(problem.path, problem)
    return list(found.values())


def _all_problems(study: "Study") -> Iterator[Problem]:
    yield from _unknown_in_space(study)
    if not study.trained:
        yield from _table_with_training(study)
        return
    for path, factor, level in _levels(study):
        yield from level_problems(study, path, factor, level)
    for path, n in _examples(study):
        yield from level_problems(study, path, "n", n)
    for name, design in study.sweep.designs.items():
        yield from _center_problems(study, ("sweep", "designs", name), design)
    yield from _missing_learning_rates(study)
    yield from _missing_pretraining_rates(study)
    yield from _too_many(study)
    yield from _unknown_in_execution(study)
    yield from _no_alignment(study)
    yield from _impossible_training(study)
    yield from _untestable(study)


def _table_with_training(study: "Study") -> Iterator[Problem]:
    for section in study.TRAINED:
        if getattr(study, section) is not None:
            message = "a study with a table trains nothing; take out this section or the table"
            yield Problem((section,), None, message)


def _untestable(study: "Study") -> Iterator[Problem]:
    """Yield a harness that has no questions about the study's videos, and tasks that cannot be columns and files."""
    if study.evaluate.harness == "packed" and study.data.source != "digits":
        yield Problem(("evaluate", "harness"), "packed", "asks about the digits study's videos only; write lmms-eval")
    for name in study.evaluate.lmms_eval.tasks:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name == "avg":
            mend = "use a word of letters, digits, '-' and '_' (avg is the mean of the tasks)"
            yield Problem(("evaluate", "lmms_eval", "tasks", name), None, f"cannot name a task; {mend}")


def _unknown_in_execution(study: "Study") -> Iterator[Problem]:
    """Yield language models that are given GPUs, nodes or a partition and that the study has not."""
    for key in ("gpus", "nodes", "partition"):
        given = getattr(study.execution, key)
        for name in given if isinstance(given, dict) else ():
            if name not in study.models.language:
                mend = f"is no language model of this study; {did_you_mean(name, study.models.language)}"
                yield Problem(("execution", key, name), given[name], mend)


def _impossible_training(study: "Study") -> Iterator[Problem]:
    """Yield settings of training that cannot go together."""
    attention, lora = study.models.attention, study.finetune.lora
    if attention.startswith("flash") and study.data.turns == "independent":
        message = "packed independent turns need a mask that it does not take; write data.turns: sequential"
        yield Problem(("models", "attention"), attention, message)
    if lora is not None and lora.dropout and study.finetune.sharding == "fsdp2":
        message = "activations that are computed again would drop others under fsdp2; write 0, or sharding: none"
        yield Problem(("finetune", "lora", "dropout"), lora.dropout, message)


def _no_alignment(study: "Study") -> Iterator[Problem]:
    """Yield that stage 1 has nothing to read, where starting models have to be made from real data."""
    if study.data.source == "llava" and study.models.start is None and study.data.llava.align is None:
        message = "models.start is null, so stage 1 needs a set of its own; name one, or finished starting models"
        yield Problem(("data", "llava", "align"), None, message)


def _unknown_in_space(study: "Study") -> Iterator[Problem]:
    """Yield factors of `space` that the study has not, and names of language models where there are none such."""
    factors = study.factors()
    models = {"N": study.models.language, "M": study.models.towers} if study.trained else {}
    for factor, levels in (study.space or {}).items():
        if factor not in factors:
            yield Problem(("space", factor), levels, f"there is no such factor; {did_you_mean(factor, factors)}")
            continue
        for i, level in enumerate(levels):
            path = ("space", factor, i)
            known = list(models.get(factor, {}))
            if isinstance(level, str) and level not in known:
                yield Problem(
                    path, level, f"is not a number; {did_you_mean(level, known or list(models.get('N', {})))}"
                )
            elif study.trained and factor == "M" and not isinstance(level, str):
                yield Problem(path, level, f"write vision models by their names, {', '.join(known)}")
            elif study.trained and factor not in models:
                yield from _impossible_level(study, path, factor, level)


def _impossible_level(study: "Study", path: KeyPath, factor: str, level: float) -> Iterator[Problem]:
    """Yield what keeps a model of this study from being deployed with this number of frames or tokens."""
    if level != int(level):
        yield Problem(path, level, "is not a whole number")
    else:
        yield from level_problems(study, path, factor, int(level))


def _design_levels(design: Design) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield (path inside the design, factor, level) for every level a design names."""
    match design:
        case StarDesign():
            given = {("vary", factor): levels for factor, levels in design.vary.given().items()}
        case IsoflopDesign():
            given = {("space", factor): levels for factor, levels in design.space.given().items()}
        case GridDesign():
            given = {(factor,): levels for factor in FACTORS if (levels := getattr(design, factor)) is not None}
        case RowsDesign():
            given = {("rows", i, f): [getattr(row, f)] for i, row in enumerate(design.rows) for f in FACTORS}
    for path, levels in given.items():
        yield from ((path, str(path[-1]), level) for level in levels)


def _levels(study: "Study") -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield (path, factor, level) for every level named in the sweep."""
    for factor in FACTORS if study.sweep.center else ():
        yield ("sweep", "center", factor), factor, getattr(study.sweep.center, factor)
    for name, design in study.sweep.designs.items():
        for path, factor, level in _design_levels(design):
            yield ("sweep", "designs", name, *path), factor, level


def _too_many(study: "Study") -> Iterator[Problem]:
    """Yield designs and spaces with more combinations than can be counted through."""
    for name, design in study.sweep.designs.items():
        levels = [len(v) for v in (design.space.given() if isinstance(design, IsoflopDesign) else {}).values()]
        if isinstance(design, GridDesign):
            levels = [len(given) for factor in FACTORS if (given := getattr(design, factor)) is not None]
        if isinstance(design, StarDesign):
            levels = [sum(len(given) for given in design.vary.given().values())]
        if not isinstance(design, IsoflopDesign | RowsDesign):
            levels += [len(design.n), len(design.seeds or study.sweep.seeds)]
        if prod(levels) > MOST_COMBINATIONS:
            message = f"has {prod(levels):,} combinations; write fewer levels, at most {MOST_COMBINATIONS:,}"
            yield Problem(("sweep", "designs", name), None, message)


def _examples(study: "Study") -> Iterator[tuple[KeyPath, int]]:
    for name, design in study.sweep.designs.items():
        if isinstance(design, RowsDesign):
            yield from ((("sweep", "designs", name, "rows", i, "n"), row.n) for i, row in enumerate(design.rows))
        else:
            yield from ((("sweep", "designs", name, "n"), n) for n in design.n)


def level_problems(study: "Study", path: KeyPath, factor: str, level: Any) -> Iterator[Problem]:
    """Yield what is wrong with one level: no such language model, an impossible grid of tokens, too many examples."""
    vision = study.models.largest_tower
    if factor == "M":
        yield from _vision_problems(study, path, level)
    if factor == "N" and level not in study.models.language:
        yield Problem(path, level, "no such language model; " + did_you_mean(level, study.models.language))
    if factor == "V" and not is_square(level):
        side = isqrt(level)
        near = " or ".join(str(k * k) for k in (side, side + 1) if 1 <= k <= vision.grid)
        yield Problem(path, level, f"the tokens of a frame form a square grid; write {near or vision.features}")
    elif factor == "V" and level > vision.features:
        message = f"the vision model has {vision.features} features a frame ({vision.grid} x {vision.grid}); write less"
        yield Problem(path, level, message)
    examples = study.data.examples
    if factor == "n" and examples is not None and level > examples:
        yield Problem(path, level, f"the training data has {examples} examples; ask for at most as many")


def _vision_problems(study: "Study", path: KeyPath, name: str | None) -> Iterator[Problem]:
    """Yield what is wrong with the vision model of a level: one is named where there is one, or none of several."""
    towers = list(study.models.towers)
    if not study.models.several_towers and name is not None:
        yield Problem(path, name, "the study has one vision model; leave M out, or name several under models.vision")
    elif study.models.several_towers and name not in towers:
        mend = "; " + did_you_mean(name, towers) if name else f"; write M: one of {', '.join(towers)}"
        yield Problem(path, name, f"{'no such' if name else 'names no'} vision model{mend}")


def _center_problems(study: "Study", path: KeyPath, design: Design) -> Iterator[Problem]:
    """Yield what is wrong with the center for one design: it is needed and missing, or outside the levels of a star."""
    center = study.sweep.center
    match design:
        case StarDesign():
            needed = study.factors()
        case GridDesign():
            needed = [factor for factor in study.factors() if getattr(design, factor) is None]
        case _:
            needed = []
    if needed and center is None:
        written = ", ".join(f"{factor}: …" for factor in study.factors())
        yield Problem(("sweep", "center"), None, f"{'.'.join(path)} needs it; write center: {{ {written} }}")
    elif isinstance(design, StarDesign):
        for factor, levels in design.vary.given().items():
            if (level := getattr(center, factor)) not in levels:
                message = f"the center's {factor} is not among the levels {levels} of {'.'.join(path)}.vary.{factor}"
                yield Problem(("sweep", "center", factor), level, message + "; add it there or move the center")


def _missing_pretraining_rates(study: "Study") -> Iterator[Problem]:
    """Yield rates that the starting models need which this study makes itself."""
    if study.models.start is not None:
        return
    used = {level for _, factor, level in _levels(study) if factor == "N"}
    made = [name for name in study.models.language if name in used or not study.models.pretrained]
    align = study.pretrain.align
    given = {("align", "learning_rates", part): getattr(align.learning_rates, part) for part in align.train}
    if not study.models.pretrained:
        given["language", "learning_rate"] = study.pretrain.language.learning_rate
    for path, rates in given.items():
        for language in [name for name in made if isinstance(rates, dict) and name not in rates]:
            message = f"no rate for the language model {language!r}; add one, or write one number for all"
            yield Problem(("pretrain", *path), sorted(rates), message)


def _missing_learning_rates(study: "Study") -> Iterator[Problem]:
    used = {level for _, factor, level in _levels(study) if factor == "N"} & study.models.language.keys()
    for part in study.finetune.train:
        rates = getattr(study.finetune.learning_rates, part)
        for language in sorted(used - rates.keys()) if isinstance(rates, dict) else ():
            message = f"no rate for the language model {language!r}; add one, or write one number for all"
            yield Problem(("finetune", "learning_rates", part), sorted(rates), message)
