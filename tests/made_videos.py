"""Small real videos and LLaVA-style annotations: what a study of real data reads, in a second of one core.

`write_sources(folder)` writes twelve videos of different sizes, rates, lengths, codecs and containers and four images,
with conversations about them, and returns the `data.llava` section that reads them. `write_broken(folder)` writes files
that look like videos and are none.
"""

import fcntl
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 30), "blue": (40, 60, 220), "yellow": (220, 210, 40)}
DIRECTIONS = ("right", "left", "down", "up")


@dataclass(frozen=True)
class MadeVideo:
    """A square of one colour that moves across a grey frame, in one direction."""

    name: str
    width: int = 64
    height: int = 48
    frames: int = 24
    fps: int = 8
    codec: str = "libx264"
    key_every: int = 12
    b_frames: int = 0
    audio: bool = False
    gaps: bool = False
    """Variable frame rate: every third frame stays three times as long."""
    colour: str = "red"
    direction: str = "right"


VIDEOS = (
    MadeVideo("alpha/plain.mp4"),
    MadeVideo("alpha/old codec.mp4", 96, 64, 20, 10, "mpeg4", colour="green", direction="left"),
    MadeVideo("alpha/vp9.mp4", 80, 60, 30, 15, "libvpx-vp9", colour="blue", direction="down"),
    MadeVideo("alpha/hevc.mp4", 80, 64, 24, 12, "libx265", colour="yellow", direction="up"),
    MadeVideo("alpha/portrait.mp4", 48, 64, 16, 8, colour="green"),
    MadeVideo("alpha/two_frames.mp4", frames=2, fps=1, colour="blue", direction="left"),
    MadeVideo("beta/variable.mp4", gaps=True, frames=30, fps=15, colour="yellow", direction="down"),
    MadeVideo("beta/with_audio.mp4", audio=True, direction="up"),
    MadeVideo("beta/one_frame.mp4", frames=1, fps=1, colour="green"),
    MadeVideo("beta/long.mp4", 64, 64, 300, 25, key_every=50, b_frames=3, colour="blue", direction="left"),
    MadeVideo("beta/no_count.mkv", 72, 56, 40, 20, key_every=10, b_frames=2, colour="yellow", direction="down"),
    MadeVideo("beta/web.webm", 64, 64, 25, 25, "libvpx-vp9", colour="red", direction="up"),
)


def draw(video: MadeVideo) -> np.ndarray:
    """Return the frames of `video`: (frames, height, width, 3) uint8, each different from all others."""
    side = min(video.width, video.height) // 3
    frames = np.full((video.frames, video.height, video.width, 3), 90, np.uint8)
    # A faint texture that changes from frame to frame, so that a neighbour is never taken for the frame itself.
    frames += np.random.default_rng(7).integers(0, 12, (video.frames, 1, video.width, 1), dtype=np.uint8)
    for t, frame in enumerate(frames):
        share = t / max(1, video.frames - 1)
        share = 1 - share if video.direction in ("left", "up") else share
        top, left = (video.height - side) // 2, (video.width - side) // 2
        if video.direction in ("right", "left"):
            left = round(share * (video.width - side))
        else:
            top = round(share * (video.height - side))
        frame[top : top + side, left : left + side] = COLOURS[video.colour]
    return frames


def encode(frames: Sequence[np.ndarray], path: Path, video: MadeVideo, options: dict[str, str] | None = None) -> None:
    """Write `frames` to `path` with the codec, rate, key frames and sound of `video`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(video.codec, rate=video.fps)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = video.key_every
        stream.options = _options(video)
        ticks = Fraction(1, video.fps)
        stream.codec_context.time_base = ticks
        sound = container.add_stream("aac", rate=16000, layout="mono") if video.audio else None
        for picture, time in zip(frames, times(video, len(frames)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / ticks), ticks
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _beep(container, sound, len(frames) / video.fps)


def times(video: MadeVideo, count: int) -> list[Fraction]:
    """Return when each of `count` frames is shown, in seconds."""
    lengths = [3 if video.gaps and t % 3 == 2 else 1 for t in range(count)]
    return [Fraction(sum(lengths[:t]), video.fps) for t in range(count)]


def _options(video: MadeVideo) -> dict[str, str]:
    match video.codec:
        case "libx264":
            more = {"preset": "veryfast", "crf": "18", "bf": str(video.b_frames), "sc_threshold": "0"}
        case "libx265":
            more = {"preset": "ultrafast", "x265-params": f"log-level=none:pools=1:bframes={video.b_frames}"}
        case "libvpx-vp9":
            more = {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}
        case _:
            more = {"qscale": "3"}
    return more


def _beep(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    samples = (np.sin(np.arange(int(16000 * seconds)) / 8) * 8000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts = 16000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def records(video: MadeVideo) -> list[dict]:
    """Return two conversations about `video`, the second with two turns, as LLaVA-style sets write them."""
    stem = video.name.rsplit("/", 1)[1]
    colour = ("What colour is the square?", video.colour)
    moves = ("Where does it move?", f"It moves {video.direction}.")
    return [
        _record(f"{stem}-colour", video.name, "<image>", [colour]),
        _record(f"{stem}-both", video.name, "<video>", [colour, moves]),
    ]


def _record(name: str, file: str, tag: str, turns: Sequence[tuple[str, str]], key: str = "video") -> dict:
    said = []
    for number, (question, answer) in enumerate(turns):
        said.append({"from": "human", "value": f"{tag}\n{question}" if number == 0 else question})
        said.append({"from": "gpt", "value": answer})
    return {"id": name, key: file, "conversations": said, "data_source": "made"}


def write_sources(folder: Path) -> dict:
    """Write videos, images and annotations into `folder`; return the `data.llava` section of a study that reads them.

    Two sources of twelve conversations each (a JSON list, JSON Lines), and four captioned images for stage 1.
    """
    videos, images = folder / "videos", folder / "images"
    for video in VIDEOS:
        encode(draw(video), videos / video.name, video)
    alpha = [record for video in VIDEOS if video.name.startswith("alpha") for record in records(video)]
    beta = [record for video in VIDEOS if video.name.startswith("beta") for record in records(video)]
    (folder / "alpha.json").write_text(json.dumps(alpha, indent=1))
    (folder / "beta.jsonl").write_text("".join(json.dumps(record) + "\n" for record in beta))
    images.mkdir(parents=True, exist_ok=True)
    captions = []
    for number, colour in enumerate(COLOURS):
        name = f"{colour}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(draw(MadeVideo(name, 40 + 8 * number, 48, frames=1, colour=colour))[0]).save(images / name)
        caption = [("Describe the image.", f"a {colour} square")]
        captions.append(_record(f"caption-{colour}", name, "<image>", caption, key="image"))
    (folder / "captions.json").write_text(json.dumps(captions))
    return {
        "sources": [
            {"name": "alpha", "annotations": str(folder / "alpha.json"), "videos": str(videos), "count": len(alpha)},
            {"name": "beta", "annotations": str(folder / "beta.jsonl"), "videos": str(videos), "count": len(beta)},
        ],
        "align": {
            "name": "captions",
            "annotations": str(folder / "captions.json"),
            "videos": str(images),
            "kind": "image",
            "count": len(captions),
        },
    }


def write_broken(folder: Path) -> dict[str, Path]:
    """Write files that no frame, or not all frames, can be read from; return them by what is wrong with them."""
    plain = MadeVideo("plain.mp4", 64, 64, 100, 25)
    whole, fast = folder / "whole.mp4", folder / "fast_start.mp4"
    encode(draw(plain), whole, plain)
    encode(draw(plain), fast, plain, {"movflags": "+faststart"})
    files = {kind: folder / f"{kind}.mp4" for kind in ("truncated", "truncated_late", "no_frames", "audio_only")}
    files |= {"empty": folder / "empty.mp4", "text": folder / "text.mp4"}
    files["truncated"].write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])  # its index is gone
    files["truncated_late"].write_bytes(fast.read_bytes()[: fast.stat().st_size * 2 // 3])  # its index is there
    files["no_packets"] = folder / "no_packets.mkv"  # has a video stream; that of no_frames.mp4 goes unnoticed
    for kind in ("no_frames", "no_packets"):
        with av.open(str(files[kind]), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()
            container.mux(stream.encode())
    with av.open(str(files["audio_only"]), "w") as container:
        _beep(container, container.add_stream("aac", rate=16000, layout="mono"), 1.0)
    files["empty"].write_bytes(b"")
    files["text"].write_text("not a video")
    return files


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """While the block runs, whoever opens the file waits inside the operating system, for 45 seconds at most."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # tells the holder of a lease that it is waited for
    try:
        with path.open("r+b") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            yield
    finally:
        signal.signal(signal.SIGIO, before)
