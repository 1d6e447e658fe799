"""The frames of a split's videos, for training and evaluation: out of a cache where there is one, else decoded.

Two caches. `frames.npy` holds the frames of all generated videos of one size behind each other, `index.json` where each
begins: every run maps it into memory, so that a video is decoded once per study. For real videos a folder keeps what
was read of each, resized. Either gives the very frames that `video.read_frames` gives.
"""

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vlmfrontier.data.decoder import DecoderProcess
from vlmfrontier.data.images import Resize
from vlmfrontier.data.probe import locate
from vlmfrontier.data.sampling import WHOLE, FrameRule, sample_frames
from vlmfrontier.data.video import READING, decode_video, read_frames
from vlmfrontier.errors import UserError
from vlmfrontier.study.data import DataConfig


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


@dataclass(frozen=True)
class Reading:
    """How the videos of a study are read: where frames are taken, how long is waited, where frames are kept."""

    rule: FrameRule = WHOLE
    timeout: float = 60.0
    cache: Path | None = None

    @classmethod
    def of(cls, data: DataConfig) -> "Reading":
        """Return what the configuration says; generated videos are read as a whole."""
        if data.source != "llava":
            return cls()
        llava = data.llava
        cache = None if llava.cache is None else Path(llava.cache)
        return cls(FrameRule(llava.long_videos, float(llava.min_fps)), float(llava.timeout), cache)


class FrameReader:
    """Gives the frames of a split's videos, of their own size or, with `resize`, of that which it gives (T, …) frames.

    Real videos are decoded in a process of its own, so that one that hangs costs its timeout and not the job.
    """

    def __init__(self, folder: Path, reading: Reading = Reading(), resize: Resize | None = None):
        self.folder, self.reading, self.resize = folder, reading, resize
        index = folder / "index.json"
        self._index: dict[str, list[int]] = json.loads(index.read_text()) if index.exists() else {}
        self._store = np.load(folder / "frames.npy", mmap_mode="r") if self._index else None
        manifest = folder / "manifest.json"
        about = json.loads(manifest.read_text()) if manifest.exists() else {}
        self._roots = {name: Path(root) for name, root in about.get("folders", {}).items()}
        self._extensions: dict[str, list[str]] = about.get("extensions", {})
        self._decoder = DecoderProcess() if self._roots else None
        # What a resize does to a frame is known by what it makes of one, which is surer than its name.
        self._resize_mark = _mark(resize) if resize and reading.cache else ""

    def path(self, video: str) -> Path:
        """Return the file of `video`, as a conversation of the split names it. Raises `VideoError` if it is gone."""
        if not self._roots:
            return self.folder / video
        source, name = video.split("/", 1)
        return locate(self._roots[source], name, self._extensions.get(source, ()))

    def read(self, video: str, wanted: int) -> np.ndarray:
        """Return `wanted` frames of `video`: (wanted, height, width, 3) uint8. Raises `VideoError`."""
        if video in self._index:
            first, count = self._index[video]
            frames = self._store[first + sample_frames(count, wanted)]
            return self.resize(frames) if self.resize else frames
        path, reading = self.path(video), self.reading
        if self._decoder is None:
            return read_frames(path, wanted, reading.rule, resize=self._one)
        kept = None if reading.cache is None else _KeptFrames(reading, path, wanted, self._resize_mark)
        frames = kept.read() if kept else None
        if frames is None:
            frames = self._decoder.read(path, wanted, reading.rule, reading.timeout, self._one)
            if kept:
                kept.write(frames)
        return frames

    def _one(self, frame: np.ndarray) -> np.ndarray:
        """Return a single frame resized as soon as it is decoded, so that no more than one is there at full size."""
        return self.resize(frame[None])[0] if self.resize else frame


class _KeptFrames:
    """The frames of one video as one reader wants them, in a file of their own. Several jobs may write it at once."""

    def __init__(self, reading: Reading, path: Path, wanted: int, resize_mark: str):
        status = path.stat()
        what = [READING, str(path), status.st_size, status.st_mtime_ns, wanted, asdict(reading.rule), resize_mark]
        name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
        self.file = reading.cache / name[:2] / f"{name}.npy"

    def read(self) -> np.ndarray | None:
        """Return the frames; None if they are not there, or not whole."""
        try:
            return np.load(self.file)
        except (OSError, ValueError, EOFError):
            return None

    def write(self, frames: np.ndarray) -> None:
        """Keep `frames`; where there is no room for them, or no permission, they are decoded again next time."""
        temporary = self.file.with_name(f".{self.file.name}.{uuid.uuid4().hex}")  # several may write the same frames
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.save(file, frames)
            temporary.replace(self.file)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _mark(resize: Resize) -> str:
    pattern = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    made = np.ascontiguousarray(resize(pattern[None]))
    return f"{made.shape} {hashlib.sha256(made).hexdigest()[:16]}"
