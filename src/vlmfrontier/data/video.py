"""Video files: the one place where frames are chosen and decoded, for training and evaluation alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from vlmfrontier.data.images import Resize, is_image, read_images
from vlmfrontier.data.problems import MISSING_FILE, NO_FRAME, UNREADABLE, Deadline, VideoError
from vlmfrontier.data.sampling import WHOLE, FrameRule, Timeline, frames_in_time, settled
from vlmfrontier.data.timeline import HEADERS, kind_of, read_timeline, unreadable, video_stream

READING = 2
"""Number of the way in which frames are read: what was kept of an earlier way is read again."""
# A decoder has taken in packets beyond the frame it gives: up to a near key frame, going on is faster than seeking.
WORTH_A_SEEK = 16

PLAYLISTS = {"concat", "dash", "hls", "rtsp", "sdp"}
"""Formats whose files say where the video is: their content may change, and lie anywhere."""

# One reformatter for the process: making one per frame costs ten times the decoding of a small video.
_REFORMATTER = VideoReformatter()


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
        if not path.is_file() and path.exists():  # a pipe would be waited for
            raise VideoError(UNREADABLE, path, "is neither a file nor a folder of images; remove it")
        with av.open(str(path)) as container:
            if container.format.name in PLAYLISTS:
                raise VideoError(UNREADABLE, path, "is a list of other files and no video; name these")
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
        frames = [to_array(frame) for frame in _every_frame(container, stream)]
    if not frames:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")
    return np.stack(frames)


def to_array(frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return a decoded frame as it is to be looked at, (height, width, 3) uint8; scaled to `size` (width, height)."""
    width, height = size or (frame.width, frame.height)
    array = _REFORMATTER.reformat(frame, width=width, height=height, format="rgb24").to_ndarray()
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    return array if matrix is None else upright(array, np.frombuffer(matrix, np.int32))


def upright(array: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return an image as its display matrix wants it: turned by quarters, mirrored or both; by the nearest of these.

    A point (x, y) of the image is shown at (ax + cy, bx + dy), the matrix being a, b, u, c, d, v, x, y, w.
    """
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):  # phones store upright videos lying
        array, a, d = array.swapaxes(0, 1), c, b
    array = array[:, ::-1] if a < 0 else array
    array = array[::-1] if d < 0 else array
    return np.ascontiguousarray(array)


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
    the same frames. An image is a video of one frame, an animated one of as many as it has, a folder of images one of
    as many, in the natural order of their names. Raises `VideoError` if there are no frames, or not within `timeout`
    seconds.
    """
    deadline = Deadline(path, timeout)
    if is_image(path):
        return read_images(path, wanted, rule, deadline, resize)
    keep = _Kept(resize)
    with open_video(path) as (container, stream):
        timeline = read_timeline(container, stream, path, deadline.check)
        if timeline is not None:
            indices = frames_in_time(timeline, wanted, rule)
            if seek and timeline.sure and _decode_wanted(container, stream, timeline, indices, deadline, keep):
                return keep.stacked(indices)
    keep.clear()
    places = {} if timeline is None else {int(timeline.times[index]): index for index in indices.tolist()}
    decoded = _decode_all(path, deadline, lambda _number, time: places.get(time), keep)
    if timeline is not None and timeline.sure and keep.has(indices) and _rise(decoded.times):
        return keep.stacked(indices)
    shown = decoded.timeline(timeline)
    if shown is not timeline:
        indices = frames_in_time(shown, wanted, rule)
        keep.clear()
        chosen = set(indices.tolist())
        _decode_all(path, deadline, lambda number, _time: number if number in chosen else None, keep)
    return keep.stacked(indices)


def find_timeline(path: Path, deadline: Deadline) -> tuple[Timeline, str]:
    """Return when the frames of the video at `path` are shown, all decoded where packets do not tell, and its codec."""
    with open_video(path) as (container, stream):
        timeline = read_timeline(container, stream, path, deadline.check)
        codec = stream.codec_context.name
    if timeline is None or not timeline.sure:
        timeline = _decode_all(path, deadline, lambda _number, _time: None, _Kept(None)).timeline(timeline)
    return timeline, codec


class _Kept:
    """The wanted frames by their index, all of the size of the first."""

    def __init__(self, resize: Resize | None):
        self.resize = resize
        self.frames: dict[int, np.ndarray] = {}
        self._size: tuple[int, int] | None = None

    def add(self, index: int, frame: av.VideoFrame) -> None:
        self._size = self._size or (frame.width, frame.height)
        array = to_array(frame, self._size)
        self.frames[index] = self.resize(array) if self.resize else array

    def has(self, indices: np.ndarray) -> bool:
        return all(index in self.frames for index in indices.tolist())

    def stacked(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([self.frames[index] for index in indices.tolist()])

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
    groups: list[tuple[int, list[int]]] = []  # the frame to begin at, and the frames to find from there
    reached = -WORTH_A_SEEK - 1
    for index in sorted(set(indices.tolist())):
        key = timeline.key_before(index)
        if key > reached + WORTH_A_SEEK:
            groups.append((key, []))
        groups[-1][1].append(index)
        reached = index
    for key, wanted in groups:
        container.seek(int(timeline.times[key]), stream=stream)
        if not _decode_group(container, stream, timeline, key, wanted, deadline, keep):
            return False
    return True


def _decode_group(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    timeline: Timeline,
    key: int,
    wanted: list[int],
    deadline: Deadline,
    keep: _Kept,
) -> bool:
    """Keep the frames `wanted`, decoding from the frame `key` on; return whether they came where packets say."""
    places = {int(timeline.times[index]): index for index in wanted}
    start, last = int(timeline.times[key]), max(places)
    before, first = start - 1, True
    for packet in container.demux(stream):
        deadline.check()
        if first and packet.size and (packet.pts is None or packet.pts > start):
            return False  # the container went somewhere else
        first = False
        skip = timeline.reordered and packet.size and packet.pts not in places
        stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
        for frame in packet.decode():
            if frame.pts is None or (before >= start and frame.pts <= before) or frame.pts > last:
                return False
            if not timeline.reordered and before >= start and frame.pts != _next(timeline, before):
                return False  # a frame is missing, or the decoder gives them in another order
            before = frame.pts
            if frame.pts in places:
                keep.add(places.pop(frame.pts), frame)
                if not places:
                    stream.codec_context.skip_frame = "DEFAULT"
                    return True
    return False


def _next(timeline: Timeline, time: int) -> int:
    return int(timeline.times[min(np.searchsorted(timeline.times, time, side="right"), len(timeline.times) - 1)])


def _rise(times: list[int | None]) -> bool:
    return None not in times and bool(np.all(np.diff(times) > 0))


@dataclass
class _Decoded:
    """The times of all frames in the order in which they were decoded."""

    tick: Fraction
    rate: Fraction | None
    times: list[int | None]

    def timeline(self, packets: Timeline | None) -> Timeline:
        """Return when the frames are shown, `packets` if they are what it says."""
        return settled(packets, self.times, self.tick, self.rate)


def _decode_all(
    path: Path, deadline: Deadline, place: Callable[[int, int | None], int | None], keep: _Kept
) -> _Decoded:
    """Decode every frame from the start, keeping those for whose number and time `place` gives an index.

    Raises `VideoError` if there is none.
    """
    times: list[int | None] = []
    with open_video(path) as (container, stream):
        decoded = _Decoded(stream.time_base, stream.average_rate, times)
        for frame in _every_frame(container, stream):
            deadline.check()
            index = place(len(times), frame.pts)
            if index is not None:
                keep.add(index, frame)
            times.append(frame.pts)
    if not times:
        raise VideoError(NO_FRAME, path, "none of its frames can be decoded; remove it")
    return decoded


def _every_frame(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield the frames that can be decoded: a stream that was recorded from somewhere on has others before them."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            if kind_of(container) in HEADERS:
                raise


def watch_frames(path: Path, deadline: Deadline, look: Callable[[np.ndarray], object]) -> None:
    """Decode every frame of `path` and call `look` with the first. Raises `VideoError` for a frame that is damaged."""
    number = 0
    with open_video(path) as (container, stream):
        for frame in _every_frame(container, stream):
            deadline.check()
            number += 1
            if number == 1:
                look(to_array(frame))
            if frame.is_corrupt:
                raise VideoError(UNREADABLE, path, f"frame {number} is damaged; copy the file again or remove it")
    if number == 0:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")
