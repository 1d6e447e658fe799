"""Numbered frames in many containers and codecs, made by the `ffmpeg` command, and what it makes of them itself.

Each of the 60 frames of 64×48 pixels shows its number in six blocks, black for 0 and white for 1, so that it can
be read after any encoding.
"""

import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

WIDTH, HEIGHT, FRAMES = 64, 48, 60
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is not installed")

X264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p"
CODECS = {
    "h264": f"{X264} -bf 0",
    "h264-b": f"{X264} -bf 3 -g 20",
    "h264-pyramid": f"{X264} -bf 5 -x264-params b-pyramid=normal:open-gop=1:keyint=12:b-adapt=0",
    "h264-refresh": f"{X264} -x264-params intra-refresh=1:keyint=12",
    "h264-10": "-c:v libx264 -preset veryfast -pix_fmt yuv420p10le -bf 2",
    "h264-interlaced": f"{X264} -flags +ildct+ilme -x264-params tff=1",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1:bframes=3:keyint=20 -pix_fmt yuv420p",
    "vp9": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p -g 20",
    "vp9-hidden": "-c:v libvpx-vp9 -deadline good -cpu-used 5 -lag-in-frames 16 -auto-alt-ref 1 -pix_fmt yuv420p -g 30",
    "vp8": "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 0 -pix_fmt yuv420p",
    "mpeg4": "-c:v mpeg4 -q:v 3 -bf 0",
    "mpeg4-b": "-c:v mpeg4 -q:v 3 -bf 2",
    "xvid": "-c:v libxvid -q:v 3 -bf 0",
    "mpeg2": "-c:v mpeg2video -q:v 3 -bf 2",
    "mjpeg": "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p",
    "prores": "-c:v prores_ks",
    "ffv1": "-c:v ffv1 -g 12 -pix_fmt yuv420p",
    "pal8": "-c:v rawvideo -pix_fmt pal8",
    "png": "-c:v png",
}
GRID = [
    *((codec, end) for codec in ("h264", "h264-b") for end in ("mp4", "mov", "mkv", "avi", "ts", "flv", "h264")),
    *((codec, end) for codec in ("mpeg4", "mpeg4-b", "mjpeg") for end in ("mp4", "mkv", "avi")),
    *((codec, end) for codec in ("vp9", "vp9-hidden", "vp8") for end in ("webm", "mkv")),
    *((codec, "mp4") for codec in ("h264-pyramid", "h264-refresh", "h264-10", "h264-interlaced", "mpeg2", "vp9")),
    *(("hevc", end) for end in ("mp4", "mkv")),
    *((codec, "ts") for codec in ("hevc", "mpeg2", "h264-pyramid")),
    *(("mpeg2", end) for end in ("mpg", "mkv")),
    *((codec, "avi") for codec in ("xvid", "ffv1", "pal8", "h264-pyramid")),
    *((codec, end) for codec in ("ffv1", "png") for end in ("mkv",)),
    ("prores", "mov"),
    ("pal8", "mov"),
]


def pictures() -> np.ndarray:
    """Return the frames, (60, 48, 64, 3) uint8."""
    frames = np.full((FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8)
    for number, frame in enumerate(frames):
        for bit, block in enumerate(_blocks(frame)):
            block[:] = 255 * (number >> bit & 1)
    return frames


def _blocks(frame: np.ndarray) -> list[np.ndarray]:
    return [
        frame[4 + 22 * row : 22 + 22 * row, 2 + 21 * column : 20 + 21 * column]
        for row in (0, 1)
        for column in (0, 1, 2)
    ]


def numbers(frames: Sequence[np.ndarray]) -> list[int]:
    """Return the numbers that frames show."""
    return [sum(int(block.mean() > 128) << bit for bit, block in enumerate(_blocks(frame))) for frame in frames]


def ffmpeg(*command: str | Path, given: bytes | None = None) -> bytes:
    """Run ffmpeg; return what it writes to its output."""
    words = [word for part in command for word in (part.split() if isinstance(part, str) else [str(part)])]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *words], input=given, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make(path: Path, options: str, before: str = "", rate: str = "20", frames: np.ndarray | None = None) -> Path:
    """Write the numbered frames to `path` with the options of an encoder."""
    shown = pictures() if frames is None else frames
    size = f"{shown.shape[2]}x{shown.shape[1]}"
    source = f"-f rawvideo -pix_fmt rgb24 -s {size} -r {rate} {before} -i - -threads 1"
    ffmpeg(source, options, path, given=shown.tobytes())
    return path


@functools.cache
def by_ffmpeg(path: Path, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return what ffmpeg makes of a file: all frames in the order in which they are shown, upright."""
    raw = ffmpeg("-threads 1 -i", path, "-an -fps_mode passthrough -f rawvideo -pix_fmt rgb24 -")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
