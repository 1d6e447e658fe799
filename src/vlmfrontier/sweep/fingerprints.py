"""What decides the result of a job: a hash of exactly the settings that matter to it.

Rules carry these as `params`, so that a change of the configuration redoes the jobs it concerns, and no others.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vlmfrontier.study.base import Section
from vlmfrontier.study.root import Study
from vlmfrontier.study.training import OptimizationConfig
from vlmfrontier.sweep.runs import Run, plan_runs

# How often a training saves and reports, and whether its weights are kept, changes no result.
HOUSEKEEPING = {"save_every", "log_every", "keep_model"}
_OF_EACH_RUN = {"draw"}
"""Settings of all finetunings that every run says by itself."""
# Keys that came later than the first results: at their defaults they are left out, so that no finished run is repeated.
_LATER = {"pretrained", "revision", "kv_heads", "head_size", "vocabulary", "tied", "qkv_bias", "qk_norm", "size"}
_LATER |= {"precision", "sharding", "lora", "family", "dropped_layers", "registers"}


def digest(*settings: Any) -> str:
    """Return 12 hexadecimal digits that differ when `settings` (anything JSON can say) differ."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


def settings_of(section: Section) -> dict[str, Any]:
    """Return what a section says, without those later keys that are at their defaults."""
    dumped = section.model_dump(exclude={"epochs"} if getattr(section, "epochs", 1) is None else None)
    fields = type(section).model_fields
    return {k: value for k, value in dumped.items() if k not in _LATER or getattr(section, k) != fields[k].default}


def study_fingerprint(study: Study) -> str:
    """Return the hash of everything: `study.json` is rewritten on any change."""
    return digest(study.model_dump(mode="json", by_alias=True))


def data_fingerprint(study: Study, split: str) -> str:
    """Return what decides the split called `split`: `train`, `test`, or `align` for stage 1."""
    if study.data.source == "llava":
        return _llava_fingerprint(study, split)
    if split == "align":
        return digest(study.data.source, study.pretrain.align.videos, study.pretrain.seed)
    digits = study.data.digits
    own = {"train": [digits.train], "test": [digits.test, digits.handwriting]}[split]
    return digest(study.data.source, own, digits.seed)


def data_settings(study: Study, split: str) -> dict[str, Any]:
    """Return the settings of `data_fingerprint` by their keys in the configuration."""
    if study.data.source == "llava":
        return {
            "data.source": "llava",
            f"data.llava ({split})": _llava_sources(study, split),
            "data.llava.checked_frames": study.data.llava.checked_frames,
        }
    if split == "align":
        return {"pretrain.align.videos": study.pretrain.align.videos, "pretrain.seed": study.pretrain.seed}
    digits = study.data.digits
    own = {"data.digits.handwriting": digits.handwriting} if split == "test" else {}
    return {f"data.digits.{split}": getattr(digits, split), **own, "data.digits.seed": digits.seed}


def _llava_sources(study: Study, split: str) -> list[dict[str, Any]]:
    return [source.model_dump(exclude={"fetch", "by_hand"}) for source in study.data.sources(split)]


def _llava_fingerprint(study: Study, split: str) -> str:
    return digest("llava", _llava_sources(study, split), study.data.llava.checked_frames)


def fetch_data_fingerprint(study: Study, split: str) -> str:
    """Return what decides which sets of a split are fetched, from where and to where."""
    sources = [source.model_dump(exclude={"by_hand", "ids"}) for source in study.data.fetched(split)]
    return digest(sources, study.data.llava.failures)


def vision_fingerprint(study: Study) -> str:
    """Return what decides the pretrained vision model."""
    return digest(settings_of(study.models.vision), _training(study.pretrain.vision), study.pretrain.seed)


def language_fingerprint(study: Study, language: str) -> str:
    """Return what decides the pretrained language model called `language`."""
    settings = _training(study.pretrain.language)
    if isinstance(settings["learning_rate"], dict):
        settings["learning_rate"] = settings["learning_rate"].get(language)
    return digest(settings_of(study.models.language[language]), settings, study.pretrain.seed)


def align_fingerprint(study: Study, language: str, vision: str = "") -> str:
    """Return what decides stage 1 of a pair of towers, besides its data and, if they are made here, the towers."""
    settings = _training_of(study.pretrain.align, language), study.pretrain.seed
    if not study.models.pretrained:
        return digest(*settings)
    towers = [settings_of(tower) for tower in (study.models.towers[vision], study.models.language[language])]
    return digest(*settings, towers, study.models.attention)


def fetch_fingerprint(study: Study) -> str:
    """Return what decides which models are fetched."""
    towers = [*study.models.towers.values(), *study.models.language.values()]
    return digest(study.models.hub, [settings_of(tower) for tower in towers if tower.from_hub])


def finetune_fingerprint(study: Study, run: Run) -> str:
    """Return what decides the weights of `run`, besides its training data and its starting model."""
    return digest(
        [run.language, run.T, run.V, run.n, run.seed, study.seed],
        settings_of(study.models.towers[run.vision]),
        settings_of(study.models.language[run.language]),
        [study.models.start, study.models.attention, study.data.turns],
        _training_of(study.finetune, run.language),
        *([study.data.reading()] if study.data.reading() else []),
        *([run.draw] if run.draw else []),
    )


def start_settings(study: Study) -> dict[str, dict[str, Any]]:
    """Return the settings that decide each starting model, as its report holds them, by the path of that report."""
    pretrain, models = study.pretrain, study.models
    if models.pretrained:
        pairs = dict.fromkeys((run.language, run.vision) for run in plan_runs(study))
        common = {"seed": pretrain.seed, "settings": deciding(pretrain.align), "attention": models.attention}
        return {f"models/{models.start_name(*pair)}/report.json": common for pair in pairs}
    vision = {"vision": models.vision.model_dump(), "settings": pretrain.vision.model_dump(), "seed": pretrain.seed}
    found = {"models/vision/report.json": vision}
    for language in models.language:
        align = {"language": language, "settings": pretrain.align.model_dump(), "seed": pretrain.seed}
        found[f"models/{language}/report.json"] = align
        own = {"language": models.language[language].model_dump(), "seed": pretrain.seed}
        found[f"models/language/{language}/report.json"] = own
    return found


def run_settings(study: Study, run: Run) -> dict[str, Any]:
    """Return the settings that decide the weights of `run`, as the record of its training holds them."""
    return {
        "run": {"language": run.language, "T": run.T, "V": run.V, "n": run.n, "seed": run.seed, **_drawn(run)},
        "study_seed": study.seed,
        "finetune": deciding(study.finetune),
        "turns": study.data.turns,
        "attention": study.models.attention,
        **({"reading": study.data.reading()} if study.data.reading() else {}),
    }


def _drawn(run: Run) -> dict[str, Any]:
    """Return what the batches of an elastic finetuning draw from, as JSON says it."""
    return {} if run.draw is None else {"draw": {"T": list(run.draw.T), "V": list(run.draw.V)}}


def benchmarks_fingerprint(study: Study) -> str:
    """Return what decides which benchmarks are fetched."""
    settings = study.evaluate.lmms_eval
    return digest({name: task.tasks for name, task in settings.tasks.items()}, settings.include_path, settings.limit)


def answer_fingerprint(study: Study) -> str:
    """Return what decides the answers to benchmarks, besides the weights."""
    return digest(benchmarks_fingerprint(study), study.evaluate.max_new_tokens)


def answer_settings(study: Study) -> dict[str, Any]:
    """Return the settings of `answer_fingerprint` by their keys in the configuration."""
    settings = study.evaluate.lmms_eval
    return {
        "evaluate.lmms_eval.tasks": {name: task.tasks for name, task in settings.tasks.items()},
        "evaluate.lmms_eval.include_path": settings.include_path,
        "evaluate.lmms_eval.limit": settings.limit,
        "evaluate.max_new_tokens": study.evaluate.max_new_tokens,
    }


def evaluate_fingerprint(study: Study) -> str:
    """Return what decides a result, besides the weights and the test data, or besides the answers to benchmarks.

    Not where else a run is tested: tests that are missing are found by their files, and those too many hurt nobody.
    """
    return digest(*evaluate_settings(study).values())


def evaluate_settings(study: Study) -> dict[str, Any]:
    """Return the settings of `evaluate_fingerprint` by their keys in the configuration."""
    if study.evaluate.harness == "lmms-eval":
        settings = study.evaluate.lmms_eval
        return {
            "evaluate.lmms_eval": settings.model_dump(include={"tasks", "unreadable"}),
            "evaluate.lmms_eval.judge.model": settings.judge.model,
        }
    return {
        "evaluate": study.evaluate.model_dump(exclude={"harness", "lmms_eval", "also", "keep_answers"}),
        "tasks": study.tasks(),
        "data.turns": study.data.turns,
        "models.attention": study.models.attention,
    }


def result_settings(study: Study, weights: str, test: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return everything that decides `result.json`: settings, finetuned weights, test data where it is the study's."""
    hashes = {key: test[key] for key in ("hash_videos", "hash_conversations") if key in test} if test else {}
    return {**evaluate_settings(study), "weights": weights, **({"test": hashes} if hashes else {})}


def settings_of_test(
    study: Study, T: int, V: int, weights: str, test: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return everything that decides the result of a run at T and V that are not its own, where there is no control."""
    settings = {**result_settings(study, weights, test), "T": T, "V": V}
    if study.evaluate.harness == "packed":
        del settings["evaluate"]["control_videos"]
    return settings


def answered_settings(study: Study, run: Run, weights: str) -> dict[str, Any]:
    """Return everything that decides `answered.json`."""
    return {**answer_settings(study), "T": run.T, "V": run.V, "reading": study.data.reading(), "weights": weights}


def collect_fingerprint(study: Study) -> str:
    """Return what decides `runs.csv`, besides the results in it."""
    ceilings = [known] if (known := _collected_ceilings(study)) else []
    runs = plan_runs(study)
    tested = [(run.key, run.tested) for run in runs if run.tested]
    rows = [(run.key, run.sweeps, run.c) for run in runs]
    return digest(rows, study.targets(), *ceilings, *([tested] if tested else []))


def collect_settings(study: Study) -> dict[str, Any]:
    """Return the settings that decide the rows of `runs.csv`: how the runs of a study are trained and evaluated."""
    languages = dict.fromkeys(run.language for run in plan_runs(study))
    data = {key: value for split in study.data.splits() for key, value in data_settings(study, split).items()}
    trained = {f"finetune ({language})": _training_of(study.finetune, language) for language in languages}
    models = {"models.start": study.models.start, "models.attention": study.models.attention}
    ceilings = {"laws.ceiling of the runs": known} if (known := _collected_ceilings(study)) else {}
    common = {"seed": study.seed, **data, **models, "data.turns": study.data.turns}
    return {**common, **trained, **evaluate_settings(study), **ceilings}


def _collected_ceilings(study: Study) -> list[str]:
    """Return which ceilings of laws are taken from the runs, whose table says them if it is not too old."""
    return sorted({"chance", "control"} & {study.laws.ceiling_for(name) for name in study.targets()})


def table_fingerprint(study: Study) -> str:
    """Return what decides how a user's own table is read."""
    return digest(_table(study))


def table_settings(study: Study) -> dict[str, Any]:
    """Return the settings of `table_fingerprint` by their keys in the configuration; a table may be moved."""
    return {"table": {key: value for key, value in _table(study).items() if key != "path"}}


def _table(study: Study) -> dict[str, Any]:
    """Return the section `table`, without the later key `trained` of factors that have none."""
    dumped = study.table.model_dump(mode="json")
    for factor in dumped["factors"].values():
        if factor["trained"] is None:
            del factor["trained"]
    return dumped


def laws_fingerprint(study: Study) -> str:
    """Return what decides the laws, besides the table they are fitted to."""
    return digest(study.laws.model_dump(mode="json"), table_fingerprint(study) if study.table else None)


def laws_settings(study: Study) -> dict[str, Any]:
    """Return the settings of `laws_fingerprint` by their keys in the configuration."""
    table = table_settings(study) if study.table else {}
    return {"laws": study.laws.model_dump(mode="json"), **table}


def frontier_fingerprint(study: Study) -> str:
    """Return what decides frontier and answers, besides the laws."""
    settings = frontier_settings(study)
    sections = {section: settings[section] for section in ("cost", "space", "frontier")}
    return digest(sections, settings["sizes of models.language"], settings["sizes of models.vision"])


def frontier_settings(study: Study) -> dict[str, Any]:
    """Return the settings of `frontier_fingerprint` by their keys in the configuration."""
    sizes = [int(model.N) for model in study.models.language.values()] if study.trained else None
    towers = study.models.towers.values() if study.trained else ()
    vision = [number for tower in towers for number in (tower.parameters, tower.features)] or None
    sections = study.model_dump(mode="json", by_alias=True, include={"cost", "space", "frontier"})
    return {**sections, "sizes of models.language": sizes, "sizes of models.vision": vision}


def deciding(settings: OptimizationConfig) -> dict[str, Any]:
    """Return the settings of a training that decide its weights."""
    return {k: value for k, value in settings_of(settings).items() if k not in HOUSEKEEPING | _OF_EACH_RUN}


def _training(settings: OptimizationConfig) -> dict[str, Any]:
    """Return what decides a result; how a training is spread over GPUs is no reason to repeat it."""
    return {key: value for key, value in deciding(settings).items() if key != "sharding"}


def _training_of(settings: OptimizationConfig, language: str) -> dict[str, Any]:
    """Return training settings with the learning rates of one language model: those of others do not matter to it."""
    dumped = _training(settings)
    dumped["learning_rates"] = {part: settings.learning_rates.of(part, language) for part in settings.train}
    return dumped
