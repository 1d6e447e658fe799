"""A cache of decoded frames: one array file that every run maps into memory, so that a video is decoded once per study.

`frames.npy` holds the frames of all videos of one size behind each other, `index.json` where each begins. Reading
through the cache gives the very frames that `video.read_frames` gives.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vlmfrontier.data.video import decode_video, read_frames, sample_frames
from vlmfrontier.errors import UserError


def write_cache(folder: Path, videos: Iterable[tuple[str, Path]], num_frames: int, size: tuple[int, int]) -> None:
    """Decode `videos` (name, path) into `folder`: `num_frames` in total, each of `size` (height, width).

    The index is written last: a cache without it was not finished and is not used.
    """
    index_path = folder / "index.json"
    index_path.unlink(missing_ok=True)
    store = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (num_frames, *size, 3))
    index, position = {}, 0
    for name, path in videos:
        frames = decode_video(path)
        if frames.shape[1:3] != size:
            raise UserError(
                f"{path}: {frames.shape[2]}×{frames.shape[1]} pixels among videos of {size[1]}×{size[0]}; "
                "the cache holds videos of one size"
            )
        store[position : position + len(frames)] = frames
        index[name] = [position, len(frames)]
        position += len(frames)
    store.flush()
    index_path.write_text(json.dumps(index))


class FrameReader:
    """Gives the frames of a split's videos, through its cache where one was written, else from the files."""

    def __init__(self, folder: Path):
        self.folder = folder
        index = folder / "index.json"
        self._index: dict[str, list[int]] = json.loads(index.read_text()) if index.exists() else {}
        self._store = np.load(folder / "frames.npy", mmap_mode="r") if self._index else None

    def read(self, video: str, wanted: int) -> np.ndarray:
        """Return `wanted` frames of `video` (its path inside the split's folder): (wanted, height, width, 3) uint8."""
        if video not in self._index:
            return read_frames(self.folder / video, wanted)
        first, count = self._index[video]
        return self._store[first + sample_frames(count, wanted)]
