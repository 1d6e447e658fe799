"""Make one split of a study's data."""

from pathlib import Path

from vlmfrontier.data.digits.build import build_split
from vlmfrontier.errors import UserError
from vlmfrontier.study.root import Study


def prepare_split(study: Study, split: str, folder: Path, processes: int = 1) -> dict:
    """Write the split called `split` of `study` to `folder` and return its manifest.

    `train` and `test` are what runs are finetuned and tested on, `align` what stage 1 reads. Raises `UserError` for
    another name.
    """
    digits = study.data.digits
    plans = {
        "train": (digits.train, "train", digits.seed),
        "test": (digits.test, digits.handwriting, digits.seed),
        "align": (study.pretrain.align.videos, "train", study.pretrain.seed),
    }
    if split not in plans:
        raise UserError(f"no split {split!r}; there are {', '.join(plans)}")
    count, images, seed = plans[split]
    return build_split(folder, split, count, images, seed, processes)
