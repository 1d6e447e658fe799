"""The sets of a study, fetched from where they are published into the folders where the study looks for them.

Beside the videos of a set, a folder `.fetch` knows what was fetched: each archive is downloaded, unpacked, noted and
removed before the next one, so that a call that was stopped goes on with the archive it was at.
"""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vlmfrontier.data.annotations import SourceReader, read_annotations
from vlmfrontier.data.archives import DamagedArchiveError, is_archive, unpack
from vlmfrontier.data.origins import Origin, Remote, list_remote
from vlmfrontier.data.problems import VideoError
from vlmfrontier.errors import UserError
from vlmfrontier.files import hash_file, write_json
from vlmfrontier.lock import Lock
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.data import SourceConfig
from vlmfrontier.study.root import Study

HOME = ".fetch"
GB = 1e9
Say = Callable[[str], None]


def fetch_split(study: Study, split: str, results: ResultsFolder, say: Say = print) -> dict[str, Any]:
    """Fetch the sets of `split` that say from where; write `data/<split>/fetched.json` last and return what it has.

    By source: commit or addresses, number and size of the files, records, videos that the records name, and how many of
    these are missing. What was fetched before is not fetched again. Raises `UserError` before anything is fetched if an
    origin cannot be reached, lacks a file or needs more room than there is; before videos are fetched if a set has not
    the `count` of records it should have; and in the end if more than `data.llava.failures` of a set's videos are
    missing, a line for each set.
    """
    origins = [(source, list_remote(source)) for source in study.data.fetched(split)]
    try:
        found = _fetch(origins, say)
    except OSError as error:
        raise UserError(f"{error}; make room, or correct the `videos` of the sources") from None
    _refuse_missing([source for source, _ in origins], found, study.data.llava.failures)
    path = results.fetched_data(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


def _fetch(origins: Sequence[tuple[SourceConfig, list[Origin]]], say: Say) -> dict[str, Any]:
    """Fetch what is not there, annotations first, and return what is known of each source then."""
    with ExitStack() as stack:
        caches = _open_caches([source for source, _ in origins], stack, say)
        _refuse_without_room([(caches[source.name], origin) for source, several in origins for origin in several])
        for source, several in origins:
            _fetch_annotations(source, several, caches[source.name])
        _check_records([source for source, _ in origins], say)
        for source, several in origins:
            _fetch_videos(source, several, caches[source.name], say)
        return {source.name: _found(source, several) for source, several in origins}


class _DownloadCache:
    """A folder of videos and, in its `.fetch`, what was fetched into it; several sources may share one."""

    def __init__(self, folder: Path, say: Say):
        self.folder, self.home = folder, folder / HOME
        self.home.mkdir(parents=True, exist_ok=True)
        self.lock = Lock(self.home, say, f"the fetch into {folder}")
        self.note = self.home / "done.json"
        self.done: dict[str, Any] = {}

    def open(self) -> None:
        """Read what was fetched, and take away what a call that was killed left behind."""
        self.done = json.loads(self.note.read_text()) if self.note.exists() else {}
        for left in self.home.glob("downloads/*/.cache/huggingface/download/**/*.incomplete"):
            left.unlink()  # the hub's client begins a file anew under another name

    @property
    def downloads(self) -> Path:
        """Where files are kept until they are unpacked."""
        return self.home / "downloads"

    def has(self, file: Remote, into: str) -> bool:
        """Say whether the videos of a file are in the folder `into` as they are published now."""
        return self.done.get(f"{file.key} in {into or '.'}") == (file.mark or True)

    def keep(self, file: Remote, into: str) -> None:
        """Note that the videos of a file are in the folder `into`."""
        self._note(f"{file.key} in {into or '.'}", file.mark or True)

    def made(self, annotations: Path) -> list[str]:
        """Return the hashes of an annotations file as it was made here, the last two."""
        return self.done.get(f"made {annotations.resolve()}", [])

    def make(self, annotations: Path, digest: str) -> None:
        """Note that an annotations file is about to be made here."""
        self._note(f"made {annotations.resolve()}", [*self.made(annotations), digest][-2:])

    def _note(self, key: str, value: Any) -> None:
        self.lock.check()
        self.done[key] = value
        write_json(self.note, self.done)


def _open_caches(sources: Sequence[SourceConfig], stack: ExitStack, say: Say) -> dict[str, _DownloadCache]:
    """Return the folder of each source, locked: one process at a time fetches into a folder."""
    folders = {source.name: Path(source.videos) for source in sources}
    caches: dict[Path, _DownloadCache] = {}
    for folder in sorted({folder.resolve() for folder in folders.values()}):
        cache = caches[folder] = _DownloadCache(folder, say)
        cache.lock.acquire()
        stack.callback(cache.lock.release)
        cache.open()
    return {name: caches[folder.resolve()] for name, folder in folders.items()}


def _refuse_without_room(wanted: Iterable[tuple[_DownloadCache, Origin]]) -> None:
    """Raise `UserError` if a disk has not the room for what is to be fetched, as far as its size is known.

    Videos in an archive take about its size, and the largest archive is there beside what it holds.
    """
    sizes: dict[int, dict[str, int]] = defaultdict(dict)
    folders: dict[int, Path] = {}
    for cache, origin in wanted:
        device = os.stat(cache.folder).st_dev
        folders.setdefault(device, cache.folder)
        todo = [file for file in origin.videos if not cache.has(file, origin.config.into)]
        sizes[device] |= {f"{cache.folder} {file.key}": file.size or 0 for file in [*todo, *origin.annotations]}
    for device, folder in folders.items():
        need = sum(sizes[device].values()) + max(sizes[device].values(), default=0)
        free = shutil.disk_usage(folder).free
        if need > free:
            raise UserError(
                f"{need / GB:,.1f} GB are needed to fetch and unpack the data, {free / GB:,.1f} GB free in {folder}; "
                "make room, or let the sources' `videos` be on another disk"
            )


def _fetch_annotations(source: SourceConfig, origins: Sequence[Origin], cache: _DownloadCache) -> None:
    """Make the source's annotations file of what is published; a file of the user's own is not replaced."""
    if not source.fetches_annotations:
        return
    target = Path(source.files[0])
    there = hash_file(target) if target.exists() else None
    if there is not None and there not in cache.made(target):
        hint = "move it away, or take `annotations` out of the source's `fetch`"
        raise UserError(f"{source.name}: {target} is there and was not fetched; {hint}")
    files = [origin.get(file, cache.downloads) for origin in origins for file in origin.annotations]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.fetched")
    if len(files) == 1:
        shutil.copyfile(files[0], temporary)
    else:
        _join(files, temporary)
    digest = hash_file(temporary)
    if digest == there:
        temporary.unlink()  # the time of the file stays as it is
        return
    cache.make(target, digest)
    temporary.replace(target)


def _join(files: Sequence[Path], target: Path) -> None:
    """Write the records of all files as JSON Lines; what is wrong with one stays wrong, for the preparation to name."""
    with target.open("w") as lines:
        for file in files:
            for raw in read_annotations(file):
                lines.write(json.dumps(raw.content) + "\n")


def _check_records(sources: Sequence[SourceConfig], say: Say) -> None:
    """Say how many records each source has; `UserError` with a line for each that has not its `count`."""
    told = []
    for source in sources:
        reader = SourceReader(source)
        for _ in reader.video_names():
            pass
        say(f"{source.name}: {reader.records:,} records in {', '.join(source.files)}")
        try:
            reader.check_count()
        except UserError as error:
            told.append(str(error))
    if told:
        raise UserError("\n".join(told))


def _fetch_videos(source: SourceConfig, origins: Sequence[Origin], cache: _DownloadCache, say: Say) -> None:
    for origin in origins:
        into = origin.config.into
        todo = [file for file in origin.videos if not cache.has(file, into)]
        if origin.videos:
            say(f"{source.name}: {len(origin.videos) - len(todo)} of {len(origin.videos)} files of videos are there")
        for number, file in enumerate(todo, start=1):
            size = f", {file.size / GB:,.2f} GB" if file.size is not None else ""
            say(f"{source.name}  {number}/{len(todo)}  {file.path}{size}")
            _fetch_video(origin, file, cache)
            cache.keep(file, into)


def _fetch_video(origin: Origin, file: Remote, cache: _DownloadCache) -> None:
    """Fetch an archive and unpack it, or put a single file in its place."""
    path, folder = origin.get(file, cache.downloads), cache.folder / origin.config.into
    if not is_archive(file.path):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        return
    try:
        unpack(path, folder, cache.home / "unpacking")
    except DamagedArchiveError as error:
        path.unlink()
        as_published = "its SHA-256 is the published one: leave it out, or tell who publishes it"
        hint = as_published if file.sha256 else "call again to fetch it anew"
        raise UserError(f"{origin.where}: {error}; {hint}") from None
    except UserError as error:
        raise UserError(f"{origin.where}: {error}") from None
    path.unlink()


def _found(source: SourceConfig, origins: Sequence[Origin]) -> dict[str, Any]:
    """Return what is known of a source that was fetched."""
    reader = SourceReader(source)
    missing, first = 0, None
    names = dict.fromkeys(reader.video_names())
    for name in names:
        try:
            reader.locate(name)
        except VideoError as error:
            missing += 1
            first = first or f"{name.split('/', 1)[1]}: {error.kind}"
    return {
        "origins": [
            origin.record() | {"files": len(files), "gigabytes": round(sum(file.size or 0 for file in files) / GB, 3)}
            for origin in origins
            for files in [[*origin.annotations, *origin.videos]]
        ],
        "annotations": source.files,
        "folder": source.videos,
        "records": reader.records,
        "videos": len(names),
        "missing": missing,
        "first_missing": first,
    }


def _refuse_missing(sources: Sequence[SourceConfig], found: dict[str, Any], failures: float) -> None:
    """Raise `UserError` with a line for each source that lacks too many of the videos that its records name."""
    told = []
    for source in sources:
        entry = found[source.name]
        if entry["missing"] > failures * entry["videos"]:
            share = f"{entry['missing']:,} of {entry['videos']:,} videos are missing"
            hint = source.by_hand or "docs/data.md says where the paper's sets come from"
            told.append(
                f"{source.name}: {share}, first {entry['first_missing']}; they belong in {source.videos}: {hint}"
            )
    if told:
        raise UserError("\n".join(told))
