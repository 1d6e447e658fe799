"""When each frame of a video is shown, read off its packets without decoding any."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vlmfrontier.data.problems import NO_FRAME, NO_VIDEO, TRUNCATED, UNREADABLE, VideoError


@dataclass(frozen=True)
class Timeline:
    """Times in ticks of `tick` seconds, in the order in which frames are shown."""

    tick: Fraction
    times: np.ndarray
    """When each frame begins, (frames,) int64, increasing."""
    keys: np.ndarray
    """Which frames can be decoded without those before them, (frames,) bool."""
    end: int
    """When the last frame ends."""

    @property
    def duration(self) -> float:
        """Seconds from the first frame's begin to the last one's end."""
        return float((self.end - int(self.times[0])) * self.tick)

    @property
    def constant(self) -> bool:
        """Say whether frames follow each other evenly, but for a tick of rounding."""
        steps = np.diff(self.times)
        return len(steps) == 0 or int(steps.max() - steps.min()) <= max(2, 0.002 / self.tick)

    def shown_at(self, ticks: np.ndarray) -> np.ndarray:
        """Return the index of the frame that is shown at each of `ticks`."""
        return np.clip(np.searchsorted(self.times, ticks, side="right") - 1, 0, None)

    def key_before(self, index: int) -> int:
        """Return the index of the last key frame up to `index`; 0 if none is marked."""
        keys = np.flatnonzero(self.keys[: index + 1])
        return int(keys[-1]) if len(keys) else 0


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first video stream that is no cover picture, with all other streams left unread.

    Raises `VideoError` if there is none.
    """
    covers = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers]
    if not streams:
        raise VideoError(NO_VIDEO, path, "has no video stream, or one without a frame; remove it")
    for stream in container.streams:
        if stream.index != streams[0].index:
            stream.discard = av.stream.Discard.all
    streams[0].codec_context.thread_count = 1  # workers decode side by side; threads in each would only compete
    streams[0].thread_type = "NONE"
    return streams[0]


def read_timeline(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, check: Callable[[], None]
) -> Timeline | None:
    """Return the timeline of `stream`, its container read to the end; None where packets tell no times.

    `check` is called for every packet and may raise. Raises `VideoError` if there is no packet, or if fewer are there
    than the file says it has.
    """
    shown: dict[int, bool] = {}
    count, end, timed = 0, 0, True
    for packet in container.demux(stream):
        check()
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise VideoError(TRUNCATED, path, f"frame {count + 1} is cut off; copy the file again or remove it")
        count += 1
        if packet.is_discard:
            continue
        if packet.pts is None or packet.pts in shown:
            timed = False
            continue
        shown[packet.pts] = packet.is_keyframe
        end = max(end, packet.pts + (packet.duration or 0))
    _refuse_incomplete(stream, path, count)
    if not timed or not shown:
        return None
    times = np.array(sorted(shown), np.int64)
    keys = np.array([shown[time] for time in times.tolist()])
    # Where the last packet tells no length, it is as long as the median one.
    if end <= times[-1]:
        end = int(times[-1]) + (int(np.median(np.diff(times))) if len(times) > 1 else 1)
    return Timeline(stream.time_base, times, keys, end)


def _refuse_incomplete(stream: av.VideoStream, path: Path, count: int) -> None:
    if count == 0:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")
    # Frames that an edit list leaves out are counted in the header too; those of a cut file lie behind its end.
    size = path.stat().st_size
    if count < stream.frames and any(entry.pos + entry.size > size for entry in stream.index_entries):
        message = f"has {count} of the {stream.frames} frames its header names; copy the file again or remove it"
        raise VideoError(TRUNCATED, path, message)


def unreadable(path: Path, error: Exception) -> VideoError:
    """Return the problem that an error of FFmpeg means."""
    reason = getattr(error, "strerror", None) or str(error)
    return VideoError(UNREADABLE, path, f"not a readable video ({reason}); repair or remove it")
