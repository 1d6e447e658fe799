"""A process of its own that decodes videos: one that hangs or crashes there costs a video, not the job.

    python -m vlmfrontier.data.decoder        serves requests on stdin until it is closed

A hang inside FFmpeg or the file system cannot be ended from within a process, and a crash ends all of it. So training
and preparation decode next door, and kill. It gives frames, or what there is to know of a video before it is trained
on.
"""

import ctypes
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from vlmfrontier.data.images import Resize, images_of, is_image, timeline_of
from vlmfrontier.data.problems import CRASHED, Deadline, VideoError, timed_out
from vlmfrontier.data.sampling import WHOLE, FrameRule, Timeline
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
    if is_image(path):
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


Item, Result = TypeVar("Item"), TypeVar("Result")
GRACE = 2.0
"""Seconds beyond the time limit in which the process may say itself that it has given up, before it is killed."""
START = 300.0
"""Seconds that it may take to start, on a file system under load."""
_CHUNK = 1 << 20


class DecoderProcess:
    """Decodes in a process of its own, which is started when first needed and again after it had to be killed.

    Safe after a fork: every process starts its own.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._owner = 0

    def read(
        self, path: Path, wanted: int, rule: FrameRule = WHOLE, timeout: float = 60.0, resize: Resize | None = None
    ) -> np.ndarray:
        """Return what `video.read_frames` returns; `resize` is called here, on one frame after the other.

        Raises `VideoError`, also for a decoder that hangs or crashes.
        """
        frames: dict[int, np.ndarray] = {}

        def keep(header: dict, content: bytearray) -> None:
            frame = np.frombuffer(content, np.uint8).reshape(header["shape"])
            frames[header["frame"]] = resize(frame) if resize else frame

        request = {"do": "read", "wanted": wanted, "rule": asdict(rule)}
        order = self._ask(path, request, timeout, keep)["order"]
        return np.stack([frames[number] for number in order])

    def facts(self, path: Path, checked_frames: int, timeout: float = 60.0) -> VideoFacts:
        """Return what `facts.video_facts` returns. Raises `VideoError`, also for a decoder that hangs or crashes."""
        request = {"do": "facts", "checked_frames": checked_frames}
        return VideoFacts(**self._ask(path, request, timeout, None)["facts"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process = None

    def __getstate__(self) -> dict:
        return {"_process": None, "_owner": 0}

    def __del__(self) -> None:
        self.close()

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._owner != os.getpid():
            search = os.pathsep.join(p for p in sys.path if p)
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
            )
            self._owner = os.getpid()
            # The time limit is the video's: starting up does not count.
            self._receive(time.monotonic() + START)
        return self._process

    def _ask(self, path: Path, request: dict, timeout: float, keep: Callable[[dict, bytearray], None] | None) -> dict:
        try:
            process = self._running()
            message = json.dumps({**request, "path": str(path), "timeout": timeout}) + "\n"
            process.stdin.write(message.encode())
            process.stdin.flush()
            end = time.monotonic() + timeout + GRACE
            while True:
                header, content = self._receive(end)
                if "error" in header:
                    raise VideoError(header["kind"], path, header["error"])
                if "frame" not in header:
                    return header
                keep(header, content)
        except TimeoutError:
            self.close()
            raise timed_out(path, timeout) from None
        except (EOFError, BrokenPipeError):
            status = self._process.wait() if self._process else None
            self._process = None
            raise VideoError(CRASHED, path, f"the decoder died of it (status {status}); remove it") from None

    def _receive(self, end: float) -> tuple[dict, bytearray]:
        header = json.loads(self._bytes(int.from_bytes(self._bytes(4, end)), end))
        return header, self._bytes(header.get("bytes", 0), end)

    def _bytes(self, count: int, end: float) -> bytearray:
        pipe = self._process.stdout.fileno()
        content = bytearray(count)
        view, filled = memoryview(content), 0
        while filled < count:
            if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            read = os.readv(pipe, [view[filled : filled + _CHUNK]])
            if read == 0:
                raise EOFError
            filled += read
        return content


def decode_all(
    do: Callable[[DecoderProcess, Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Iterator[Result]:
    """Yield `do(decoder, item)` for all `items` in their order, from `threads` that each have a decoder process.

    At most `ahead` items are under way, or done and not yet yielded.
    """
    own, started = threading.local(), []

    def call(item: Item) -> Result:
        if not hasattr(own, "decoder"):
            own.decoder = DecoderProcess()
            started.append(own.decoder)
        return do(own.decoder, item)

    pool, pending = ThreadPoolExecutor(threads), deque()
    try:
        for item in items:
            pending.append(pool.submit(call, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        for decoder in started:
            decoder.close()


def _send(to: BinaryIO, header: dict, content: bytes | memoryview = b"") -> None:
    text = json.dumps({**header, "bytes": len(content)}).encode()
    to.write(len(text).to_bytes(4))
    to.write(text)
    to.write(content)
    to.flush()


def _answer(request: dict, to: BinaryIO) -> dict:
    path, timeout = Path(request["path"]), request["timeout"]
    if request["do"] == "facts":
        return {"facts": asdict(video_facts(path, request["checked_frames"], timeout))}
    sent = 0

    def send(frame: np.ndarray) -> np.ndarray:
        """Send a frame at once and return its number, which takes its place in the result: here none is kept."""
        nonlocal sent
        _send(to, {"frame": sent, "shape": frame.shape}, memoryview(np.ascontiguousarray(frame)).cast("B"))
        sent += 1
        return np.array(sent - 1)

    numbers = read_frames(path, request["wanted"], FrameRule(**request["rule"]), timeout, resize=send)
    return {"order": numbers.tolist()}


def serve(requests: BinaryIO, to: BinaryIO) -> None:
    """Answer requests, one JSON line each, until there are no more."""
    _send(to, {"ready": True})
    for line in requests:
        try:
            _send(to, _answer(json.loads(line), to))
        except VideoError as error:
            _send(to, {"error": error.detail, "kind": error.kind})


def _die_with_parent() -> None:
    """Have Linux end this process with the one that started it, even while it hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    _die_with_parent()
    serve(sys.stdin.buffer, sys.stdout.buffer)
