"""One split of a study's data, made for training and evaluation to read.

Of sets of conversations and videos, as they are published, every record is checked and every video looked into. What
has a problem is left out, named in `problems.csv` and counted; too many are an error. Nothing is copied:
`manifest.json` says where the videos are. The digits study's videos are made (see `digits.build`).
"""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vlmfrontier.data.annotations import SourceReader
from vlmfrontier.data.conversations import (
    INDEX,
    LINES,
    Conversation,
    write_lines,
)
from vlmfrontier.data.digits.build import build_split
from vlmfrontier.data.probe import Probes, Say
from vlmfrontier.data.problems import RecordProblem
from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json
from vlmfrontier.study.data import LlavaConfig, SourceConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import data_settings
from vlmfrontier.sweep.runs import plan_runs


def prepare_split(study: Study, split: str, folder: Path, processes: int = 1) -> dict:
    """Write the split called `split` of `study` to `folder` and return its manifest.

    `train` and `test` are what runs are finetuned and tested on, `align` what stage 1 reads; real data has no `test`,
    which is left to benchmarks. Raises `UserError` for another name, and for data that cannot be used.
    """
    prepare = _prepare_llava if study.data.source == "llava" else _prepare_digits
    return prepare(study, split, folder, processes)


def _prepare_digits(study: Study, split: str, folder: Path, processes: int) -> dict:
    digits = study.data.digits
    plans = {
        "train": (digits.train, "train", digits.seed),
        "test": (digits.test, digits.handwriting, digits.seed),
        "align": (study.pretrain.align.videos, "train", study.pretrain.seed),
    }
    if split not in plans:
        raise _no_split(split, plans)
    count, images, seed = plans[split]
    return build_split(folder, split, count, images, seed, processes, data_settings(study, split))


def _prepare_llava(study: Study, split: str, folder: Path, processes: int) -> dict:
    settings = study.data.llava
    sources = {"train": settings.sources} | ({"align": [settings.align]} if settings.align else {})
    if split not in sources:
        raise _no_split(split, sources)
    needed = max(run.n for run in plan_runs(study)) if split == "train" else 0
    decided = data_settings(study, split)
    return build_llava(folder, split, sources[split], settings, needed, processes, _say, decided)


def _no_split(split: str, known: object) -> UserError:
    return UserError(f"no split {split!r}; there are {', '.join(known)}")


def _say(line: str) -> None:
    print(line, flush=True)


MANIFEST, PROBLEMS, VIDEOS = "manifest.json", "problems.csv", "videos.csv"
TOLD = 5
"""Problems that a refusal names; problems.csv has all of them."""


def build_llava(
    folder: Path,
    split: str,
    sources: Sequence[SourceConfig],
    settings: LlavaConfig,
    needed: int = 0,
    processes: int = 1,
    say: Say = print,
    decided: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the split of `sources` to `folder` and return its manifest, which is written last, with what `decided` it.

    `conversations.jsonl` holds what training reads, `videos.csv` what is known of every video, `problems.csv` every
    record that was left out and why. A second call looks into no video again that has not changed. Raises `UserError`
    if a source has not the `count` of records it should have, if more than `settings.failures` of the records have a
    problem, or if fewer than `needed` are left.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST, INDEX):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder") from error
    readers = [SourceReader(source) for source in sources]
    videos: dict[str, None] = {}
    for reader in readers:
        videos |= dict.fromkeys(reader.video_names())
        say(f"{reader.source.name}: {reader.records:,} records")
        reader.check_count()
    stills = [source.name for source in sources if source.kind == "image"]
    probes = Probes(folder, settings.checked_frames, settings.timeout, stills)
    by_name = {reader.source.name: reader for reader in readers}
    found = ((name, partial(by_name[name.split("/", 1)[0]].locate, name)) for name in videos)
    probes.look(found, len(videos), processes, say)
    del videos
    tally = _Tally(readers)
    with (folder / PROBLEMS).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(RecordProblem._fields)
        write_lines(folder, _usable(readers, probes, tally, table))
    tally.refuse(settings.failures, needed, folder / PROBLEMS)
    return _write_manifest(folder, split, readers, probes, tally, decided)


class _Tally:
    """How many records of each source can be used, and what is wrong with the others."""

    def __init__(self, readers: Sequence[SourceReader]):
        self.readers = readers
        self.usable: Counter[str] = Counter()
        self.turns = 0
        self.kinds: dict[str, Counter[str]] = defaultdict(Counter)
        self.first: list[RecordProblem] = []

    def add(self, problem: RecordProblem) -> None:
        self.kinds[problem.source][problem.kind] += 1
        if len(self.first) < TOLD:
            self.first.append(problem)

    @property
    def by_kind(self) -> Counter[str]:
        """Problems of all sources by kind."""
        return sum(self.kinds.values(), Counter())

    @property
    def share(self) -> float:
        """Problems as a share of all records."""
        return self.by_kind.total() / max(1, sum(reader.records for reader in self.readers))

    def refuse(self, failures: float, needed: int, problems: Path) -> None:
        """Raise `UserError` if too many records have a problem or too few are left."""
        count, total = self.by_kind.total(), sum(reader.records for reader in self.readers)
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.by_kind.most_common())
        left_out = f"{count:,} of {total:,} records have a problem ({kinds})" if count else "no record has a problem"
        if self.share > failures:
            named = "\n".join(f"{p.source}: {p.id}: {p.kind}: {p.detail}" for p in self.first)
            raise UserError(
                f"{left_out}, more than data.llava.failures = {failures:g} allows; correct them or allow more. "
                f"{problems} names all, the first are:\n{named}"
            )
        if self.usable.total() < max(needed, 1):
            if needed == 0:
                raise UserError(f"no example can be used; {left_out}; correct what {problems} names")
            raise UserError(
                f"{needed:,} examples asked for, but {self.usable.total():,} can be used; {left_out}; lower n, or "
                f"correct what {problems} names"
            )


def _usable(
    readers: Sequence[SourceReader], probes: Probes, tally: _Tally, table: Any
) -> Iterator[tuple[Conversation, int]]:
    """Yield the conversations whose video can be read, with the number of their source; tell `table` of all others."""
    for number, reader in enumerate(readers):
        name = reader.source.name
        for where, item in reader.conversations():
            problem = item if isinstance(item, RecordProblem) else _of_video(item, name, where, probes)
            if problem is not None:
                tally.add(problem)
                table.writerow(problem)
            else:
                tally.usable[name] += 1
                tally.turns += len(item.turns)
                yield item, number


def _of_video(conversation: Conversation, source: str, where: str, probes: Probes) -> RecordProblem | None:
    found = probes.problem(conversation.video)
    if found is None:
        return None
    video = conversation.video.split("/", 1)[1]
    return RecordProblem(conversation.id.split("/", 1)[1], source, where, video, *found)


def _write_manifest(
    folder: Path,
    split: str,
    readers: Sequence[SourceReader],
    probes: Probes,
    tally: _Tally,
    decided: Mapping[str, Any] | None,
) -> dict[str, Any]:
    videos, seconds, digest = _write_videos(folder, probes)
    with (folder / LINES).open("rb") as lines:
        hash_conversations = hashlib.file_digest(lines, "sha256").hexdigest()[:16]
    manifest = {
        "split": split,
        "videos": videos.total(),
        "conversations": tally.usable.total(),
        "questions": tally.turns,
        "hours": round(sum(seconds.values()) / 3600, 2),
        "sources": {
            reader.source.name: {
                "records": reader.records,
                "conversations": tally.usable[reader.source.name],
                "videos": videos[reader.source.name],
                "hours": round(seconds[reader.source.name] / 3600, 2),
                "problems": dict(tally.kinds[reader.source.name]),
            }
            for reader in readers
        },
        "problems": dict(tally.by_kind),
        "folders": {reader.source.name: str(reader.root) for reader in readers},
        "extensions": {r.source.name: r.source.extensions for r in readers if r.source.extensions},
        "hash_videos": digest,
        "hash_conversations": hash_conversations,
        **({"settings": dict(decided)} if decided else {}),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def _write_videos(folder: Path, probes: Probes) -> tuple[Counter[str], Counter[str], str]:
    """Write `videos.csv`; return videos and seconds by source, and a hash of names and fingerprints."""
    videos: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    digest = hashlib.sha256()
    with (folder / VIDEOS).open("w", newline="", encoding="utf-8") as file:
        table: csv.DictWriter | None = None
        for name, facts in probes.facts():
            if table is None:
                table = csv.DictWriter(file, ["video", *facts])
                table.writeheader()
            table.writerow({"video": name, **facts})
            source = name.split("/", 1)[0]
            videos[source] += 1
            seconds[source] += facts["seconds"]
            digest.update(f"{name} {facts['fingerprint']}\n".encode())
    return videos, seconds, digest.hexdigest()[:16]
