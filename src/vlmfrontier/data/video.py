"""Video files: the one place where frames are chosen and decoded, for training and evaluation alike."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, UnidentifiedImageError

from vlmfrontier.data.problems import MISSING_FILE, NO_FRAME, TIMEOUT, UNREADABLE, VideoError
from vlmfrontier.data.timeline import Timeline, read_timeline, unreadable, video_stream

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
# A decoder has taken in packets beyond the frame it gives: up to a near key frame, going on is faster than seeking.
WORTH_A_SEEK = 16

# One reformatter for the process: making one per frame costs ten times the decoding of a small video.
_REFORMATTER = VideoReformatter()

Resize = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FrameRule:
    """Where in a video its T frames are taken; the whole video, unless it is longer than T / `min_fps` seconds.

    The paper says "sampled uniformly, at least 1 fps". Both hold for a video of at most T seconds. For a longer one
    `whole` keeps the first: T frames over all of it, fewer than `min_fps` a second, as evaluations of long videos need;
    `start` keeps the second: its first T / `min_fps` seconds.
    """

    long_videos: Literal["whole", "start"] = "whole"
    min_fps: float = 1.0

    def seconds(self, duration: float, wanted: int) -> float:
        """Return how much of a video of `duration` seconds `wanted` frames are spread over."""
        return duration if self.long_videos == "whole" else min(duration, wanted / self.min_fps)


WHOLE = FrameRule()


class Deadline:
    """When to give up on a video: checked between packets and frames."""

    def __init__(self, path: Path, seconds: float | None):
        self.path, self.seconds = path, seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise `VideoError` if the time is over."""
        if self._end is not None and time.monotonic() > self._end:
            raise timed_out(self.path, self.seconds)


def timed_out(path: object, seconds: float | None) -> VideoError:
    """Return the problem of a video that takes longer than `seconds`."""
    return VideoError(TIMEOUT, path, f"not decoded within {seconds:g} s; re-encode it or allow more time")


def sample_frames(num_frames: int, wanted: int) -> np.ndarray:
    """Return the indices of `wanted` frames, uniform over a video of `num_frames`: the middles of equal intervals.

    A video with fewer frames than wanted repeats frames, as the paper does. Shape (wanted,), int64.
    """
    if num_frames < 1 or wanted < 1:
        raise ValueError(f"cannot take {wanted} of {num_frames} frames")
    return ((np.arange(wanted) + 0.5) * num_frames / wanted).astype(np.int64)


def frames_in_time(timeline: Timeline, wanted: int, rule: FrameRule = WHOLE) -> np.ndarray:
    """Return the indices of the frames shown at the middles of `wanted` equal intervals of time, (wanted,) int64.

    Where frames follow each other evenly these are those of `sample_frames`; where not, time counts and not frames. A
    video with too few frames repeats them.
    """
    start, tick = int(timeline.times[0]), timeline.tick
    seconds = rule.seconds(timeline.duration, wanted)
    whole = seconds >= timeline.duration
    span = timeline.end - start if whole else max(1, int(Fraction(seconds).limit_denominator(10**6) / tick))
    # Whole numbers: a time on the border of two frames must not fall to either side by rounding.
    return timeline.shown_at(start + (2 * np.arange(wanted) + 1) * span // (2 * wanted))


def encode_video(frames: np.ndarray, path: Path, frames_per_second: int) -> None:
    """Write `frames` (frames, height, width, 3) uint8 to `path` as H.264 in mp4, one key frame a second or less."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "18", "g": str(len(frames))}
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open `path` for reading. Raises `VideoError` for what is no readable video, also while the block reads it."""
    try:
        with av.open(str(path)) as container:
            yield container, video_stream(container, path)
    except FileNotFoundError as error:
        raise VideoError(MISSING_FILE, path, "no such file") from error
    except (OSError, av.error.FFmpegError) as error:
        raise unreadable(path, error) from error


def decode_video(path: Path) -> np.ndarray:
    """Return all frames of `path`: (frames, height, width, 3) uint8; for videos that fit into memory.

    Raises `UserError` if the file is missing, has no video stream or no frame, or cannot be decoded.
    """
    with open_video(path) as (container, stream):
        frames = [to_array(frame) for frame in container.decode(stream)]
    if not frames:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")
    return np.stack(frames)


def to_array(frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return a decoded frame as it is to be looked at, (height, width, 3) uint8; scaled to `size` (width, height)."""
    width, height = size or (frame.width, frame.height)
    array = _REFORMATTER.reformat(frame, width=width, height=height, format="rgb24").to_ndarray()
    turns = round(frame.rotation / 90) % 4  # phones store upright videos lying
    return np.ascontiguousarray(np.rot90(array, turns)) if turns else array


def read_frames(
    path: Path,
    wanted: int,
    rule: FrameRule = WHOLE,
    timeout: float | None = None,
    resize: Resize | None = None,
    seek: bool = True,
) -> np.ndarray:
    """Return `wanted` frames of the video or image at `path`: (wanted, height, width, 3) uint8.

    They are chosen by `frames_in_time`. Of the video only the wanted frames are kept, each passed through `resize` at
    once. `seek=False` decodes every frame from the start instead of from the key frames before wanted ones, which gives
    the same frames. An image is a video of one frame, a folder of images one of as many, in the order of their names.
    Raises `VideoError` if there are no frames, or not within `timeout` seconds.
    """
    deadline = Deadline(path, timeout)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return _read_images(path, wanted, deadline, resize)
    with open_video(path) as (container, stream):
        timeline = read_timeline(container, stream, path, deadline.check)
        if timeline is None:
            return _read_counted(path, wanted, deadline, resize)
        indices = frames_in_time(timeline, wanted, rule)
        keep = _Kept(resize)
        found = seek and _decode_wanted(container, stream, timeline, indices, deadline, keep)
    if not found:
        _decode_all(path, timeline.times[indices], deadline, keep)
    if not keep.frames:
        raise VideoError(NO_FRAME, path, "none of its frames can be decoded; remove it")
    return np.stack([keep.frames[time] for time in timeline.times[indices].tolist()])


class _Kept:
    """The wanted frames by their time, all of the size of the first."""

    def __init__(self, resize: Resize | None):
        self.resize = resize
        self.frames: dict[int, np.ndarray] = {}
        self._size: tuple[int, int] | None = None

    def add(self, time_: int, frame: av.VideoFrame) -> None:
        self._size = self._size or (frame.width, frame.height)
        array = to_array(frame, self._size)
        self.frames[time_] = self.resize(array) if self.resize else array

    def clear(self) -> None:
        self.frames.clear()
        self._size = None


def _decode_wanted(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    timeline: Timeline,
    indices: np.ndarray,
    deadline: Deadline,
    keep: _Kept,
) -> bool:
    """Decode from the key frames before wanted frames; return whether all of them were found where packets say.

    Frames in between that no other frame refers to are not decoded either. No group of pictures is decoded twice, so
    that this is never more work than decoding everything.
    """
    wanted = sorted(set(indices.tolist()))
    missing = set(timeline.times[wanted].tolist())
    groups: list[tuple[int, list[int]]] = []  # where to begin, and the times to find from there
    reached = -WORTH_A_SEEK - 1
    for index in wanted:
        key = timeline.key_before(index)
        if key > reached + WORTH_A_SEEK:
            groups.append((int(timeline.times[key]), []))
        groups[-1][1].append(int(timeline.times[index]))
        reached = index
    for start, times in groups:
        container.seek(start, stream=stream)
        if not _decode_group(container, stream, start, set(times), missing, deadline, keep):
            keep.clear()
            return False
    return not missing


def _decode_group(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    start: int,
    times: set[int],
    missing: set[int],
    deadline: Deadline,
    keep: _Kept,
) -> bool:
    """Keep the frames at `times`, decoding from `start` on; return whether they were found. They leave `missing`."""
    last, first = max(times), True
    for packet in container.demux(stream):
        deadline.check()
        if first and packet.size and (packet.pts is None or packet.pts > start):
            return False  # the container went somewhere else
        first = False
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in missing or not packet.size else "NONREF"
        for frame in packet.decode():
            if frame.pts in times and frame.pts in missing:
                keep.add(frame.pts, frame)
                missing.discard(frame.pts)
                times.discard(frame.pts)
                if not times:
                    stream.codec_context.skip_frame = "DEFAULT"
                    return True
            elif frame.pts is None or frame.pts > last:
                return False
    return False


def _decode_all(path: Path, times: np.ndarray, deadline: Deadline, keep: _Kept) -> None:
    """Keep for each of `times` the frame shown then, decoding every frame from the start."""
    wanted = sorted(set(times.tolist()))
    before: av.VideoFrame | None = None
    with open_video(path) as (container, stream):
        for frame in container.decode(stream):
            deadline.check()
            while before is not None and wanted and frame.pts is not None and frame.pts > wanted[0]:
                keep.add(wanted.pop(0), before)
            if not wanted:
                return
            before = frame
        for time_ in wanted if before is not None else ():
            keep.add(time_, before)


def count_frames(path: Path, deadline: Deadline) -> int:
    """Return how many frames `path` has, all of them decoded. Raises `VideoError` if there is none."""
    with open_video(path) as (container, stream):
        count = 0
        for _ in container.decode(stream):
            deadline.check()
            count += 1
    if count == 0:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")
    return count


def watch_frames(path: Path, deadline: Deadline, look: Callable[[np.ndarray], object]) -> None:
    """Decode every frame of `path` and call `look` with the first. Raises `VideoError` for a frame that is damaged."""
    number = 0
    with open_video(path) as (container, stream):
        for frame in container.decode(stream):
            deadline.check()
            number += 1
            if number == 1:
                look(to_array(frame))
            if frame.is_corrupt:
                raise VideoError(UNREADABLE, path, f"frame {number} is damaged; copy the file again or remove it")
    if number == 0:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")


def _read_counted(path: Path, wanted: int, deadline: Deadline, resize: Resize | None) -> np.ndarray:
    """Return uniform frames of a video whose packets tell no times: decoded once to count, once to keep."""
    indices = sample_frames(count_frames(path, deadline), wanted)
    keep, chosen = _Kept(resize), set(indices.tolist())
    with open_video(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            deadline.check()
            if number in chosen:
                keep.add(number, frame)
    return np.stack([keep.frames[index] for index in indices.tolist()])


def images_of(path: Path) -> list[Path]:
    """Return the images of a folder in the order of their names, or the image that `path` is.

    Raises `VideoError` if the folder has none.
    """
    if not path.is_dir():
        return [path]
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise VideoError(NO_FRAME, path, "the folder has no image; remove it")
    return images


def _read_images(path: Path, wanted: int, deadline: Deadline, resize: Resize | None) -> np.ndarray:
    images = images_of(path)
    indices = sample_frames(len(images), wanted)
    frames: dict[int, np.ndarray] = {}
    size = None
    for index in dict.fromkeys(indices.tolist()):
        deadline.check()
        frame = _read_image(images[index], size)
        size = size or (frame.shape[1], frame.shape[0])
        frames[index] = resize(frame) if resize else frame
    return np.stack([frames[index] for index in indices.tolist()])


def _read_image(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
            return np.asarray(picture if size in (None, picture.size) else picture.resize(size))
    except FileNotFoundError as error:
        raise VideoError(MISSING_FILE, path, "no such file") from error
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise VideoError(UNREADABLE, path, f"not a readable image ({error}); repair or remove it") from error
