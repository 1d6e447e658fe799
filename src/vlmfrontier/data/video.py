"""Video files: the one place where frames are chosen and decoded, for training and evaluation alike."""

from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vlmfrontier.errors import UserError

# One reformatter for the process: making one per frame costs ten times the decoding of a small video.
_REFORMATTER = VideoReformatter()


def sample_frames(num_frames: int, wanted: int) -> np.ndarray:
    """Return the indices of `wanted` frames, uniform over a video of `num_frames`: the middles of equal intervals.

    A video with fewer frames than wanted repeats frames, as the paper does. Shape (wanted,), int64.
    """
    if num_frames < 1 or wanted < 1:
        raise ValueError(f"cannot take {wanted} of {num_frames} frames")
    return ((np.arange(wanted) + 0.5) * num_frames / wanted).astype(np.int64)


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


def decode_video(path: Path) -> np.ndarray:
    """Return all frames of `path`: (frames, height, width, 3) uint8.

    Raises `UserError` if the file is missing, has no video stream or no frame, or cannot be decoded.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            stream.thread_type = "NONE"
            frames = [_REFORMATTER.reformat(f, format="rgb24").to_ndarray() for f in container.decode(stream)]
    except (FileNotFoundError, IndexError, av.error.FFmpegError) as error:
        raise UserError(f"{path}: not a readable video ({error}); repair or remove it") from error
    if not frames:
        raise UserError(f"{path}: the video has no frame; remove it")
    return np.stack(frames)


def read_frames(path: Path, wanted: int) -> np.ndarray:
    """Return `wanted` frames of the video at `path`, chosen by `sample_frames`: (wanted, height, width, 3) uint8.

    Decodes from the start: seeking is slower unless the wanted frames are no more than the key frames.
    """
    frames = decode_video(path)
    return frames[sample_frames(len(frames), wanted)]
