"""What a video's packets tell without decoding any: its stream, when frames are shown, and whether the file is cut off.

Packets may lie. A time in an AVI is where the packet stands, not when its frame is shown; a file copied from one says
the same; a stream that begins in the middle has packets that no frame comes of. A timeline read here is `sure` only
where none of this can be; else decoding everything decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from vlmfrontier.data.problems import NO_FRAME, NO_VIDEO, TRUNCATED, UNREADABLE, VideoError
from vlmfrontier.data.sampling import Timeline, end_of

SOUGHT_IN = frozenset({"mov", "matroska"})
"""Containers that say when each frame is shown and where key frames are."""
SOUGHT = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores"})
"""Codecs that decode the same from any key frame; others keep something from the file's beginning, as a palette."""
HEADERS = frozenset({"mov", "matroska", "avi", "flv"})
"""Containers whose header tells how much there is: what is cut off can be known to be missing."""

MOST_REORDERED = 16
"""Places that a frame may be shown before or after its packet comes: no codec keeps more frames than that."""

Check = Callable[[], None]


def kind_of(container: av.container.InputContainer) -> str:
    """Return what FFmpeg calls the container, the first of its names: mov (also mp4), matroska (also webm), avi, …"""
    return container.format.name.split(",")[0]


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the stream that is the video, with all other streams left unread.

    Of several it is one with more than one frame, before one without; then the default one; then the largest; then the
    first. Cover pictures are none. Raises `VideoError` if there is none.
    """
    covers = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers and s.codec_context is not None]
    if not streams:
        raise VideoError(NO_VIDEO, path, "has no video stream, or one without a frame; remove it")
    counts = _packet_counts(path) if len(streams) > 1 else {}
    default = av.stream.Disposition.default

    def rank(stream: av.VideoStream) -> tuple:
        moves = counts.get(stream.index, 0) > 1
        return moves, bool(stream.disposition & default), stream.width * stream.height, -stream.index

    chosen = max(streams, key=rank)
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = av.stream.Discard.all
    chosen.codec_context.thread_count = 1  # workers decode side by side; threads in each would only compete
    chosen.thread_type = "NONE"
    return chosen


def _packet_counts(path: Path) -> dict[int, int]:
    counts: dict[int, int] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            counts[packet.stream.index] = counts.get(packet.stream.index, 0) + (packet.size > 0)
    return counts


@dataclass
class _Seen:
    """What was seen of a stream's packets, in the order in which they come."""

    times: list[int | None] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    count: int = 0
    """Packets, those that an edit list leaves out among them."""
    begins: tuple[bool, int | None] = (False, None)
    """Whether the first packet is a key frame, and its time."""

    def add(self, packet: av.Packet) -> None:
        if self.count == 0:
            self.begins = packet.is_keyframe, packet.pts
        self.count += 1
        if not packet.is_discard:
            self.times.append(packet.pts)
            self.keys.append(packet.is_keyframe)
            self.lengths.append(packet.duration or 0)


def read_timeline(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, check: Check
) -> Timeline | None:
    """Return the timeline of `stream`, its container read to the end; None where packets tell no times.

    `check` is called for every packet and may raise. Raises `VideoError` if there is no packet, or if fewer are there
    than the file says it has.
    """
    seen = _Seen()
    for packet in container.demux(stream):
        check()
        if not packet.size:
            continue
        if packet.is_corrupt and kind_of(container) in HEADERS:
            raise VideoError(TRUNCATED, path, f"frame {seen.count + 1} is cut off; copy the file again or remove it")
        seen.add(packet)
    if seen.count == 0:
        raise VideoError(NO_FRAME, path, "the video has no frame; remove it")
    timeline = _timeline(container, stream, seen)
    _refuse_incomplete(container, stream, path, seen, timeline)
    return timeline


def _timeline(container: av.container.InputContainer, stream: av.VideoStream, seen: _Seen) -> Timeline | None:
    if not seen.times or None in seen.times or len(set(seen.times)) < len(seen.times):
        return None
    times = np.array(seen.times, np.int64)
    order = np.argsort(times)
    reordered = bool(np.any(np.diff(times) < 0))
    # A packet is as long as it takes to the next one: where they are reordered, that is not how long it is shown.
    last = None if reordered else seen.lengths[-1]
    shown = times[order]
    return Timeline(
        stream.time_base,
        shown,
        np.array(seen.keys, bool)[order],
        end_of(shown, last),
        stream.average_rate,
        _can_seek(container, stream, seen, order),
        reordered,
    )


def _can_seek(container: av.container.InputContainer, stream: av.VideoStream, seen: _Seen, order: np.ndarray) -> bool:
    """Say whether the frames of packets can be sought by their times."""
    codec = stream.codec_context.codec
    if kind_of(container) not in SOUGHT_IN or codec.canonical_name not in SOUGHT:
        return False
    # Where the decoder reorders and the times do not, or the other way round, they are not those of frames.
    far = int(np.abs(order - np.arange(len(order))).max())
    if (len(order) > 1 and (codec.reorder and stream.codec_context.has_b_frames) != (far > 0)) or far > MOST_REORDERED:
        return False
    key, first = seen.begins
    return key and first is not None and min(seen.times) >= first


def _refuse_incomplete(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, seen: _Seen, timeline: Timeline | None
) -> None:
    """Raise `VideoError` if frames lie behind the end of the file."""
    missing = {"mov": _missing_in_mov, "avi": _missing_in_avi, "matroska": _missing_in_time, "flv": _missing_in_time}
    look = missing.get(kind_of(container))
    message = look(container, stream, path, seen, timeline) if look else None
    if message:
        raise VideoError(TRUNCATED, path, f"{message}; copy the file again or remove it")


def _missing_in_mov(_c: object, stream: av.VideoStream, path: Path, seen: _Seen, _t: object) -> str | None:
    size = path.stat().st_size
    if stream.frames == 0:  # in fragments, of which no header knows the number
        return "ends in the middle of a fragment" if _ends_after(_boxes(path), size) else None
    # Frames that an edit list leaves out are counted in the header too; those of a cut file lie behind its end.
    if seen.count < stream.frames and any(entry.pos + entry.size > size for entry in stream.index_entries):
        return f"has {seen.count} of the {stream.frames} frames its header names"
    return None


def _missing_in_avi(_c: object, stream: av.VideoStream, path: Path, seen: _Seen, _t: object) -> str | None:
    if seen.count < stream.frames and _ends_after(_chunks(path), path.stat().st_size):
        return f"has {seen.count} of the {stream.frames} frames its header names"
    return None


def _missing_in_time(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, _s: object, timeline: Timeline | None
) -> str | None:
    """Return what is missing of a file whose header tells seconds and not frames."""
    if timeline is None or not container.duration:
        return None
    header = container.duration / av.time_base
    step = timeline.duration / len(timeline.times)
    if timeline.end * timeline.tick > header - 1.5 * step - 0.01:
        return None
    if kind_of(container) == "matroska" and not _segment_is_cut(path):
        return None
    reached = _reached(path)  # sound may go on after the pictures
    if reached > header - 1.5 * step - 0.1:
        return None
    return f"has {reached:.2f} of the {header:.2f} seconds its header names"


def _reached(path: Path) -> float:
    """Return the seconds at which the last packet of any stream ends."""
    reached = 0.0
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return reached


def _ends_after(ends: list[int], size: int) -> bool:
    return any(end > size for end in ends)


def _boxes(path: Path) -> list[int]:
    """Return where each outermost box of an mp4 says that it ends."""
    ends, at, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4])
            length = int.from_bytes(head[8:16]) if length == 1 else length
            if length < 8:  # to the end of the file
                break
            at += length
            ends.append(at)
    return ends


def _chunks(path: Path) -> list[int]:
    """Return where each outermost chunk of an AVI says that it ends."""
    ends, at, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            length = int.from_bytes(file.read(8)[4:], "little")
            if length in (0, 0xFFFFFFFF):  # written to a pipe: not known
                break
            at += 8 + length + length % 2
            ends.append(at - length % 2)
    return ends


def _segment_is_cut(path: Path) -> bool:
    """Say whether a Matroska file ends before its segment does; True where the segment tells no size."""
    with path.open("rb") as file:
        begin = file.read(1 << 12)
    at = begin.find(b"\x18\x53\x80\x67") + 4
    if at < 4 or at >= len(begin) or begin[at] == 0:
        return True
    width = 9 - begin[at].bit_length()
    length = int.from_bytes(begin[at : at + width]) & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return unknown or at + width + length > path.stat().st_size


def unreadable(path: Path, error: Exception) -> VideoError:
    """Return the problem that an error of FFmpeg means."""
    reason = getattr(error, "strerror", None) or str(error)
    return VideoError(UNREADABLE, path, f"not a readable video ({reason}); repair or remove it")
