"""Make one split of a study's data."""

from pathlib import Path

from vlmfrontier.data.digits.build import build_split
from vlmfrontier.data.llava import build_llava
from vlmfrontier.errors import UserError
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import data_settings
from vlmfrontier.sweep.runs import plan_runs


def prepare_split(study: Study, split: str, folder: Path, processes: int = 1) -> dict:
    """Write the split called `split` of `study` to `folder` and return its manifest.

    `train` and `test` are what runs are finetuned and tested on, `align` what stage 1 reads; real data has no `test`,
    which is left to benchmarks. Raises `UserError` for another name, and for data that cannot be used.
    """
    prepare = _prepare_llava if study.data.source == "llava" else _prepare_digits
    return prepare(study, split, folder, processes)


def _prepare_digits(study: Study, split: str, folder: Path, processes: int) -> dict:
    digits = study.data.digits
    plans = {
        "train": (digits.train, "train", digits.seed),
        "test": (digits.test, digits.handwriting, digits.seed),
        "align": (study.pretrain.align.videos, "train", study.pretrain.seed),
    }
    if split not in plans:
        raise _no_split(split, plans)
    count, images, seed = plans[split]
    return build_split(folder, split, count, images, seed, processes, data_settings(study, split))


def _prepare_llava(study: Study, split: str, folder: Path, processes: int) -> dict:
    settings = study.data.llava
    sources = {"train": settings.sources} | ({"align": [settings.align]} if settings.align else {})
    if split not in sources:
        raise _no_split(split, sources)
    needed = max(run.n for run in plan_runs(study)) if split == "train" else 0
    decided = data_settings(study, split)
    return build_llava(folder, split, sources[split], settings, needed, processes, _say, decided)


def _no_split(split: str, known: object) -> UserError:
    return UserError(f"no split {split!r}; there are {', '.join(known)}")


def _say(line: str) -> None:
    print(line, flush=True)
