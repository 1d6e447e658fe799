"""A process of its own that decodes videos: one that hangs or crashes there costs a video, not the job.

    python -m vlmfrontier.data.decoder        serves requests on stdin until it is closed

A hang inside FFmpeg or the file system cannot be ended from within a process, and a crash ends all of it. So training
and preparation decode next door, and kill.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vlmfrontier.data.facts import VideoFacts, video_facts
from vlmfrontier.data.problems import CRASHED, VideoError, timed_out
from vlmfrontier.data.sampling import WHOLE, FrameRule
from vlmfrontier.data.video import Resize, read_frames

GRACE = 2.0
"""Seconds beyond the time limit in which the process may say itself that it has given up, before it is killed."""
START = 300.0
"""Seconds that it may take to start, on a file system under load."""
_CHUNK = 1 << 20


class Decoder:
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
