"""What there is to know of a video file before it is trained on, and that it can be decoded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmfrontier.data.timeline import read_timeline
from vlmfrontier.data.video import (
    IMAGE_SUFFIXES,
    Deadline,
    count_frames,
    images_of,
    open_video,
    read_frames,
    watch_frames,
)

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


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits of a file's size, its first and its last 64 KiB: a changed video has others.

    A hash of everything would read as much again as decoding does. Of a folder of images: of their names and sizes.
    """
    if path.is_dir():
        listed = "\n".join(f"{image.name} {image.stat().st_size}" for image in images_of(path))
        return hashlib.sha256(listed.encode()).hexdigest()[:16]
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        parts = [str(size).encode(), file.read(SAMPLE)]
        file.seek(max(0, size - SAMPLE))
        parts.append(file.read(SAMPLE))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def video_facts(path: Path, checked_frames: int, timeout: float | None = None) -> VideoFacts:
    """Return the facts of the video or image at `path` after decoding `checked_frames` frames of it; 0: all frames.

    Raises `VideoError` if it cannot be decoded, or not within `timeout` seconds.
    """
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return _image_facts(path, checked_frames, timeout)
    deadline = Deadline(path, timeout)
    with open_video(path) as (container, stream):
        timeline = read_timeline(container, stream, path, deadline.check)
        codec, rate = stream.codec_context.name, float(stream.average_rate or 0)
    sizes: set[tuple[int, ...]] = set()

    def look(frame: np.ndarray) -> np.ndarray:
        sizes.add(frame.shape[:2])
        return np.empty(0, np.uint8)

    if checked_frames:
        read_frames(path, checked_frames, timeout=timeout, resize=look)
    else:
        watch_frames(path, deadline, look)
    height, width = next(iter(sizes))
    if timeline is None:
        frames = count_frames(path, deadline)
        seconds = frames / rate if rate else 0.0
        return VideoFacts(round(seconds, 3), frames, round(rate, 3), width, height, codec, 0, False, fingerprint(path))
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
        fingerprint(path),
    )


def _image_facts(path: Path, checked_frames: int, timeout: float | None) -> VideoFacts:
    images = images_of(path)
    sizes: set[tuple[int, ...]] = set()

    def look(frame: np.ndarray) -> np.ndarray:
        sizes.add(frame.shape[:2])
        return np.empty(0, np.uint8)

    read_frames(path, min(len(images), checked_frames or len(images)), timeout=timeout, resize=look)
    height, width = next(iter(sizes))
    codec = images[0].suffix.lower()[1:]
    return VideoFacts(0.0, len(images), 0.0, width, height, codec, len(images), True, fingerprint(path))
