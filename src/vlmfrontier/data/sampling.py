"""When each frame of a video is shown, and which frames are taken: uniform in time, or by count where no time is known.

Nothing here decodes. `timeline.py` reads times off a file's packets, `video.py` checks them where they are in doubt.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

USUAL_RATE = Fraction(25)
"""Frames a second of a video that says none, as FFmpeg assumes it."""


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
    rate: Fraction | None = None
    """Frames a second as the file says it; None if it does not."""
    sure: bool = True
    """Whether frames may be sought by these times; else only decoding everything tells if they are right."""
    reordered: bool = False
    """Whether packets come in another order than frames are shown in."""

    @property
    def duration(self) -> float:
        """Seconds from the first frame's begin to the last one's end."""
        return float((self.end - int(self.times[0])) * self.tick)

    @property
    def constant(self) -> bool:
        """Say whether frames follow each other evenly, but for a tick of rounding."""
        steps = np.diff(self.times)
        return len(steps) == 0 or int(steps.max() - steps.min()) <= max(2, 0.002 / self.tick)

    @property
    def even(self) -> bool:
        """Say whether the times are those of a constant rate, but for rounding (Matroska tells whole milliseconds)."""
        steps = np.diff(self.times, append=self.end)
        step = float(np.mean(steps[:-1] if len(steps) > 1 else steps))  # the last one is rounded twice
        rounding = max(1.0, min(float(Fraction(1, 1000) / self.tick), step / 8))
        beside = self.times - self.times[0] - np.arange(len(self.times)) * step
        return bool(np.ptp(steps) <= rounding and np.ptp(beside) < 2 * rounding)

    def shown_at(self, ticks: np.ndarray) -> np.ndarray:
        """Return the index of the frame that is shown at each of `ticks`."""
        return np.clip(np.searchsorted(self.times, ticks, side="right") - 1, 0, None)

    def key_before(self, index: int) -> int:
        """Return the index of the last key frame up to `index`; 0 if none is marked."""
        keys = np.flatnonzero(self.keys[: index + 1])
        return int(keys[-1]) if len(keys) else 0


def counted(frames: int, rate: Fraction | None) -> Timeline:
    """Return the timeline of `frames` frames whose times are not known: one after the other at `rate`."""
    tick = 1 / (rate or USUAL_RATE)
    return Timeline(tick, np.arange(frames), np.zeros(frames, bool), frames, rate, sure=False)


def settled(packets: Timeline | None, times: list[int | None], tick: Fraction, rate: Fraction | None) -> Timeline:
    """Return the timeline of a video whose decoded frames had these `times`, in the order in which they came.

    `packets` is what its packets told, and stays if it is the same. Where times are missing, repeat or fall, frames are
    counted.
    """
    if packets is not None and times == packets.times.tolist():
        return packets
    if None in times or not np.all(np.diff(times) > 0):
        return counted(len(times), rate)
    shown = np.array(times, np.int64)
    return Timeline(tick, shown, np.zeros(len(times), bool), end_of(shown, None), rate, sure=False)


def end_of(times: np.ndarray, last: int | None) -> int:
    """Return when the last frame ends: it is as long as it says (`last`), else as the median of the five before it."""
    median = int(np.median(np.diff(times[-6:]))) if len(times) > 1 else 1
    return int(times[-1]) + (last or max(1, median))


def sample_frames(num_frames: int | Fraction, wanted: int) -> np.ndarray:
    """Return the indices of `wanted` frames, uniform over a video of `num_frames`: the middles of equal intervals.

    A video with fewer frames than wanted repeats frames, as the paper does. Shape (wanted,), int64.
    """
    if num_frames <= 0 or wanted < 1:
        raise ValueError(f"cannot take {wanted} of {num_frames} frames")
    over = Fraction(num_frames)
    # Whole numbers: a middle on the border of two frames must not fall to either side by rounding.
    middles = 2 * np.arange(wanted) + 1
    if over.numerator < 1 << 40:
        return (middles * over.numerator // (2 * wanted * over.denominator)).astype(np.int64)
    return np.array([int(middle * over / (2 * wanted)) for middle in middles.tolist()], np.int64)


def frames_in_time(timeline: Timeline, wanted: int, rule: FrameRule = WHOLE) -> np.ndarray:
    """Return the indices of the frames shown at the middles of `wanted` equal intervals of time, (wanted,) int64.

    Where frames follow each other evenly these are those of `sample_frames`; where not, time counts and not frames. A
    video with too few frames repeats them.
    """
    start, count = int(timeline.times[0]), len(timeline.times)
    seconds = rule.seconds(timeline.duration, wanted)
    whole = seconds >= timeline.duration
    limit = max(Fraction(seconds).limit_denominator(10**6), Fraction(1, 10**6))
    if timeline.even:
        frames = count if whole else limit * _rate(timeline)
        return np.minimum(sample_frames(frames, wanted), count - 1)
    span = timeline.end - start if whole else max(1, int(limit / timeline.tick))
    return timeline.shown_at(start + (2 * np.arange(wanted) + 1) * span // (2 * wanted))


def _rate(timeline: Timeline) -> Fraction:
    """Return frames a second of an even video: as the file says it, if that is no more than rounding away."""
    seconds, count = (timeline.end - int(timeline.times[0])) * timeline.tick, len(timeline.times)
    if timeline.rate and abs(timeline.rate * seconds - count) < 1:
        return timeline.rate
    return count / seconds
