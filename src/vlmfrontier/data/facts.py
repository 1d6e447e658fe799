"""What there is to know of a video file before it is trained on, and that it can be decoded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmfrontier.data.pictures import images_of, is_picture, timeline_of
from vlmfrontier.data.problems import Deadline
from vlmfrontier.data.sampling import Timeline
from vlmfrontier.data.video import READING, find_timeline, read_frames, watch_frames

SAMPLE = 1 << 16
"""Bytes from the beginning and from the end that the fingerprint is made of, with the size."""


@dataclass(frozen=True)
class VideoFacts:
    """Length, rate, size in pixels and fingerprint of a decodable video, or of images (which have no seconds)."""

    seconds: float
    frames: int
    fps: float
    width: int
    height: int
    codec: str
    key_frames: int
    constant: bool
    """Whether all frames are shown equally long."""
    fingerprint: str


def fingerprint(path: Path, mark: str = "") -> str:
    """Return 16 hexadecimal digits of a file's size, its first and its last 64 KiB: a changed video has others.

    A hash of everything would read as much again as decoding does. Of a folder of images: of their names and sizes.
    `mark` is part of it: what is read in another way than before has other frames.
    """
    if path.is_dir():
        listed = "\n".join(f"{image.name} {image.stat().st_size}" for image in images_of(path))
        return hashlib.sha256(listed.encode()).hexdigest()[:16]
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        parts = [str(size).encode(), file.read(SAMPLE)]
        file.seek(max(0, size - SAMPLE))
        parts += [file.read(SAMPLE), mark.encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def video_facts(path: Path, checked_frames: int, timeout: float | None = None) -> VideoFacts:
    """Return the facts of the video or image at `path` after decoding `checked_frames` frames of it; 0: all frames.

    Raises `VideoError` if it cannot be decoded, or not within `timeout` seconds.
    """
    if is_picture(path):
        return _image_facts(path, checked_frames, timeout)
    deadline = Deadline(path, timeout)
    timeline, codec = find_timeline(path, deadline)
    sizes: set[tuple[int, ...]] = set()

    def look(frame: np.ndarray) -> np.ndarray:
        sizes.add(frame.shape[:2])
        return np.empty(0, np.uint8)

    if checked_frames:
        read_frames(path, min(checked_frames, len(timeline.times)), timeout=timeout, resize=look)
    else:
        watch_frames(path, deadline, look)
    height, width = next(iter(sizes))
    return _facts(path, timeline, width, height, codec)


def _facts(path: Path, timeline: Timeline, width: int, height: int, codec: str) -> VideoFacts:
    frames = len(timeline.times)
    return VideoFacts(
        round(timeline.duration, 3),
        frames,
        round(frames / timeline.duration, 3) if timeline.duration else 0.0,
        width,
        height,
        codec,
        int(timeline.keys.sum()),
        timeline.constant,
        fingerprint(path, "" if timeline.sure else f"read {READING}"),
    )


def _image_facts(path: Path, checked_frames: int, timeout: float | None) -> VideoFacts:
    images = images_of(path)
    timeline = None if path.is_dir() else timeline_of(path)
    frames = len(images) if timeline is None else len(timeline.times)
    sizes: set[tuple[int, ...]] = set()

    def look(frame: np.ndarray) -> np.ndarray:
        sizes.add(frame.shape[:2])
        return np.empty(0, np.uint8)

    read_frames(path, min(frames, checked_frames or frames), timeout=timeout, resize=look)
    height, width = next(iter(sizes))
    codec = images[0].suffix.lower()[1:]
    if frames > 1 and timeline is not None:
        return _facts(path, timeline, width, height, codec)
    return VideoFacts(0.0, frames, 0.0, width, height, codec, frames, True, fingerprint(path))
