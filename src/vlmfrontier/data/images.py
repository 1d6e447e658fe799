"""Images as frames: one alone, the frames of an animated one, or a folder of them, upright and in 8-bit RGB."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vlmfrontier.data.problems import ANIMATED, MISSING_FILE, NO_FRAME, UNREADABLE, Deadline, VideoError
from vlmfrontier.data.sampling import FrameRule, Timeline, counted, frames_in_time, sample_frames

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
# The second image of a JPEG is a preview or a map of brightness, not a frame that follows.
ANIMATES = frozenset({"PNG", "WEBP", "GIF"})
DAMAGES = (OSError, Image.DecompressionBombError, SyntaxError, ValueError, EOFError, IndexError, MemoryError)
"""What Pillow raises for files that are no images, or not whole."""
_DIGITS = re.compile(r"(\d+)")

Resize = Callable[[np.ndarray], np.ndarray]


def is_image(path: Path) -> bool:
    """Say whether `path` is read as images: by its ending, or a folder."""
    return path.suffix.lower() in IMAGE_SUFFIXES or path.is_dir()


def images_of(path: Path) -> list[Path]:
    """Return the images of a folder in the natural order of their names (2 before 10), or the image that `path` is.

    Hidden files are none, such as the `._1.jpg` that macOS leaves beside `1.jpg`. Raises `VideoError` if the folder has
    none.
    """
    if not path.is_dir():
        return [path]
    images = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    images = sorted((p for p in images if not p.is_dir()), key=natural)
    if not images:
        raise VideoError(NO_FRAME, path, "the folder has no image; remove it")
    return images


def natural(path: Path) -> tuple:
    """Return what to sort files by, so that numbers in their names count as numbers."""
    parts = _DIGITS.split(path.stem.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def timeline_of(path: Path) -> Timeline:
    """Return when the frames of an animated image are shown; one frame of an image that stands still."""
    with _opened(path) as image:
        count = _frames(image)
        if count == 1:
            return counted(1, None)
        lengths = []
        for number in range(count):
            image.seek(number)
            image.load()  # the length of a WebP's frame is known when it is decoded
            lengths.append(round(image.info.get("duration") or 0))
    if min(lengths) <= 0:
        return counted(count, None)
    ends = np.cumsum(lengths, dtype=np.int64)
    keys = np.arange(count) == 0
    return Timeline(Fraction(1, 1000), ends - lengths, keys, int(ends[-1]), sure=False)


def read_images(path: Path, wanted: int, rule: FrameRule, deadline: Deadline, resize: Resize | None) -> np.ndarray:
    """Return `wanted` frames of the image or the folder of images at `path`: (wanted, height, width, 3) uint8.

    All have the size of the first that is read. Raises `VideoError`.
    """
    images = images_of(path)
    if path.is_dir():
        indices = sample_frames(len(images), wanted)
        sources = [(images[index], None) for index in indices.tolist()]
    else:
        timeline = timeline_of(path)
        indices = frames_in_time(timeline, wanted, rule)
        sources = [(path, index) for index in indices.tolist()]
    frames: dict[tuple, np.ndarray] = {}
    size = None
    for source in sources:
        if source not in frames:
            deadline.check()
            frame = read_image(*source, size)
            size = size or (frame.shape[1], frame.shape[0])
            frames[source] = resize(frame) if resize else frame
    return np.stack([frames[source] for source in sources])


def read_image(path: Path, number: int | None, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return frame `number` of the image at `path`, upright, (height, width, 3) uint8; scaled to `size`.

    Where `number` is None, the image must stand still. Raises `VideoError`.
    """
    with _opened(path) as image:
        if number is None and _frames(image) > 1:
            raise VideoError(ANIMATED, path, f"has {_frames(image)} frames among images of one; convert or remove it")
        if number:
            image.seek(number)
        upright = _in_8_bits(ImageOps.exif_transpose(image)).convert("RGB")
        return np.asarray(upright if size in (None, upright.size) else upright.resize(size))


def _frames(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) if image.format in ANIMATES else 1


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return the image with values up to 255: Pillow cuts those of 16 bits off instead of scaling them."""
    if not image.mode.startswith("I"):
        return image
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    return Image.fromarray((values // 257).astype(np.uint8))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open the image at `path` for reading. Raises `VideoError` for what is none, also while the block reads it."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise VideoError(MISSING_FILE, path, "no such file") from error
    except DAMAGES as error:
        raise VideoError(UNREADABLE, path, f"not a readable image ({error}); repair or remove it") from error
