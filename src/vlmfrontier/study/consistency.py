"""Mistakes that no single section can see: the sweep asks for what models or data do not have."""

import re
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from vlmfrontier.errors import did_you_mean
from vlmfrontier.study.data import DataConfig
from vlmfrontier.study.evaluation import EvaluateConfig
from vlmfrontier.study.levels import (
    FACTORS,
    Conflict,
    KeyPath,
    elsewhere_of,
    level_problems,
    levels_of,
    never_below,
)
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.sweep import (
    Configuration,
    Design,
    GridDesign,
    IsoflopDesign,
    LadderDesign,
    RowsDesign,
    StarDesign,
    SweepConfig,
)
from vlmfrontier.study.training import ExecutionConfig, FinetuneConfig, PretrainConfig

if TYPE_CHECKING:
    from vlmfrontier.study.root import Study

MOST_COMBINATIONS = 200_000
"""Runs or candidates of one design."""


def problems(study: "Study") -> list[Conflict]:
    """Return the contradictions between the sections of a study, the first one at each key."""
    found: dict[KeyPath, Conflict] = {}
    for problem in _all_problems(study):
        found.setdefault(problem.path, problem)
    return list(found.values())


def _all_problems(study: "Study") -> Iterator[Conflict]:
    yield from _unknown_in_space(study)
    yield from _impossible_ceilings(study)
    if not study.trained:
        for section in study.TRAINED:
            if getattr(study, section) is not None:
                message = "a study with a table trains nothing; take out this section or the table"
                yield Conflict((section,), None, message)
        # The default is that of a sweep, and stands in every resolved study.
        if study.laws.split not in (None, type(study.laws).model_fields["split"].default):
            yield Conflict(
                ("laws", "split"), study.laws.split, "a table has a split of its own; write it as table.split"
            )
        return
    models, data, sweep = study.models, study.data, study.sweep
    levels = list(levels_of(sweep))
    elsewhere = list(elsewhere_of(study))
    yield from never_below(study, elsewhere)
    for path, factor, level in (*levels, *elsewhere, *_examples(sweep)):
        yield from level_problems(models, data.examples, path, factor, level)
    for name, design in sweep.designs.items():
        if isinstance(design, LadderDesign) and design.elastic and design.draw is not None:
            message = "draws from the ladder's own T and V, and draw says otherwise; take out one of both"
            yield Conflict(("sweep", "designs", name, "elastic"), True, message)
        yield from _center_problems(sweep.center, study.factors(), ("sweep", "designs", name), design)
    used = {level for _, factor, level in levels if factor == "N"}
    yield from _missing_learning_rates(study.finetune, used & models.language.keys())
    yield from _missing_pretraining_rates(study.pretrain, models, used)
    yield from _too_many(sweep)
    yield from _unknown_in_execution(study.execution, models)
    yield from _no_alignment(data, models)
    yield from _impossible_training(study.finetune, models, data)
    yield from _untestable(study.evaluate, data)


def _untestable(evaluate: EvaluateConfig, data: DataConfig) -> Iterator[Conflict]:
    """Yield a harness that has no questions about the study's videos, and tasks that cannot be columns and files."""
    if evaluate.harness == "packed" and data.source != "digits":
        yield Conflict(("evaluate", "harness"), "packed", "asks about the digits study's videos only; write lmms-eval")
    for name in evaluate.lmms_eval.tasks:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name == "avg":
            hint = "use a word of letters, digits, '-' and '_' (avg is the mean of the tasks)"
            yield Conflict(("evaluate", "lmms_eval", "tasks", name), None, f"cannot name a task; {hint}")


def _impossible_ceilings(study: "Study") -> Iterator[Conflict]:
    """Yield ceilings of laws that nobody knows, or that are above the largest error that there can be."""
    given, targets = study.laws.ceiling, study.targets()
    by_target = isinstance(given, dict)
    for target in given if by_target else targets:
        at = ("laws", "ceiling", *([target] if by_target else []))
        said = given[target] if by_target else given
        if target not in targets:
            yield Conflict(at, said, f"there is no such target; {did_you_mean(target, targets)}")
        elif said == "chance" and (not study.trained or study.chance(target) is None):
            known = [name for name in targets if study.trained and study.chance(name) is not None]
            other = f"write it for {', '.join(known)} only" if known else "write a number, 75 of four options"
            yield Conflict(at, said, f"nobody knows what guessing {target} gives; {other}, or fitted")
        elif said == "control" and not _has_control(study):
            yield Conflict(at, said, "no result has the error with the wrong video; write a number, or fitted")
        elif isinstance(said, float) and said > (largest := study.largest_error(target)):
            yield Conflict(at, said, f"is above the largest error of {target}, {largest:g}")


def _has_control(study: "Study") -> bool:
    return study.trained and study.evaluate.harness == "packed" and study.evaluate.control_videos > 0


def _unknown_in_execution(execution: ExecutionConfig, models: ModelsConfig) -> Iterator[Conflict]:
    """Yield language models that are given GPUs, nodes or a partition and that the study has not."""
    for key in ("gpus", "nodes", "partition"):
        given = getattr(execution, key)
        for name in given if isinstance(given, dict) else ():
            if name not in models.language:
                hint = f"is no language model of this study; {did_you_mean(name, models.language)}"
                yield Conflict(("execution", key, name), given[name], hint)


def _impossible_training(finetune: FinetuneConfig, models: ModelsConfig, data: DataConfig) -> Iterator[Conflict]:
    """Yield settings of training that cannot go together."""
    attention, lora = models.attention, finetune.lora
    if attention.startswith("flash") and data.turns == "independent":
        message = "packed independent turns need a mask that it does not take; write data.turns: sequential"
        yield Conflict(("models", "attention"), attention, message)
    if lora is not None and lora.dropout and finetune.sharding == "fsdp2":
        message = "activations that are computed again would drop others under fsdp2; write 0, or sharding: none"
        yield Conflict(("finetune", "lora", "dropout"), lora.dropout, message)


def _no_alignment(data: DataConfig, models: ModelsConfig) -> Iterator[Conflict]:
    """Yield that stage 1 has nothing to read, where starting models have to be made from real data."""
    if data.source == "llava" and models.start is None and data.llava.align is None:
        message = "models.start is null, so stage 1 needs a set of its own; name one, or finished starting models"
        yield Conflict(("data", "llava", "align"), None, message)


def _unknown_in_space(study: "Study") -> Iterator[Conflict]:
    """Yield factors of `space` that the study has not, and names of language models where there are none such."""
    factors = study.factors()
    models = {"N": study.models.language, "M": study.models.towers} if study.trained else {}
    for factor, levels in (study.space or {}).items():
        if factor not in factors:
            yield Conflict(("space", factor), levels, f"there is no such factor; {did_you_mean(factor, factors)}")
            continue
        for i, level in enumerate(levels):
            path = ("space", factor, i)
            known = list(models.get(factor, {}))
            if isinstance(level, str) and level not in known:
                yield Conflict(
                    path, level, f"is not a number; {did_you_mean(level, known or list(models.get('N', {})))}"
                )
            elif study.trained and factor == "M" and not isinstance(level, str):
                yield Conflict(path, level, f"write vision models by their names, {', '.join(known)}")
            elif study.trained and factor not in models and level != int(level):
                yield Conflict(path, level, "is not a whole number")
            elif study.trained and factor not in models:
                yield from level_problems(study.models, study.data.examples, path, factor, int(level))


def _too_many(sweep: SweepConfig) -> Iterator[Conflict]:
    """Yield designs and spaces with more combinations than can be counted through."""
    for name, design in sweep.designs.items():
        levels = [len(v) for v in (design.space.given() if isinstance(design, IsoflopDesign) else {}).values()]
        if isinstance(design, GridDesign | LadderDesign):
            levels = [len(given) for factor in FACTORS if (given := getattr(design, factor)) is not None]
        if isinstance(design, StarDesign):
            levels = [sum(len(given) for given in design.vary.given().values())]
        if not isinstance(design, IsoflopDesign | RowsDesign):
            levels += [len(design.n), len(design.seeds or sweep.seeds)]
        if prod(levels) > MOST_COMBINATIONS:
            message = f"has {prod(levels):,} combinations; write fewer levels, at most {MOST_COMBINATIONS:,}"
            yield Conflict(("sweep", "designs", name), None, message)


def _examples(sweep: SweepConfig) -> Iterator[tuple[KeyPath, str, int]]:
    for name, design in sweep.designs.items():
        if isinstance(design, RowsDesign):
            yield from ((("sweep", "designs", name, "rows", i, "n"), "n", row.n) for i, row in enumerate(design.rows))
        else:
            yield from ((("sweep", "designs", name, "n"), "n", n) for n in design.n)


def _center_problems(
    center: Configuration | None, factors: list[str], path: KeyPath, design: Design
) -> Iterator[Conflict]:
    """Yield what is wrong with the center for one design: it is needed and missing, or outside the levels of a star."""
    match design:
        case StarDesign():
            needed = factors
        case GridDesign():
            needed = [factor for factor in factors if getattr(design, factor) is None]
        case _:
            needed = []
    if needed and center is None:
        written = ", ".join(f"{factor}: …" for factor in factors)
        yield Conflict(("sweep", "center"), None, f"{'.'.join(path)} needs it; write center: {{ {written} }}")
    elif isinstance(design, StarDesign):
        for factor, levels in design.vary.given().items():
            if (level := getattr(center, factor)) not in levels:
                message = f"the center's {factor} is not among the levels {levels} of {'.'.join(path)}.vary.{factor}"
                yield Conflict(("sweep", "center", factor), level, message + "; add it there or move the center")


def _missing_pretraining_rates(pretrain: PretrainConfig, models: ModelsConfig, used: set[str]) -> Iterator[Conflict]:
    """Yield rates that the starting models need which this study makes itself."""
    if models.start is not None:
        return
    made = [name for name in models.language if name in used or not models.pretrained]
    align = pretrain.align
    given = {("align", "learning_rates", part): getattr(align.learning_rates, part) for part in align.train}
    if not models.pretrained:
        given["language", "learning_rate"] = pretrain.language.learning_rate
    for path, rates in given.items():
        for language in [name for name in made if isinstance(rates, dict) and name not in rates]:
            message = f"no rate for the language model {language!r}; add one, or write one number for all"
            yield Conflict(("pretrain", *path), sorted(rates), message)


def _missing_learning_rates(finetune: FinetuneConfig, used: set[str]) -> Iterator[Conflict]:
    """Yield rates of the language models that runs of this study use."""
    for part in finetune.train:
        rates = getattr(finetune.learning_rates, part)
        for language in sorted(used - rates.keys()) if isinstance(rates, dict) else ():
            message = f"no rate for the language model {language!r}; add one, or write one number for all"
            yield Conflict(("finetune", "learning_rates", part), sorted(rates), message)
