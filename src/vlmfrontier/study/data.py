"""Configuration of the videos and conversations."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from vlmfrontier.study.base import LONGEST, Count, Few, Natural, Number, Positive, Section, Seed, Share
from vlmfrontier.study.files import HUB_NAME, InputFile
from vlmfrontier.tasks import DIGITS_TASKS

Seconds = Annotated[Number, Field(gt=0, le=1_000_000)]


class DigitsConfig(Section):
    """Generated videos of handwritten digits."""

    train: Positive = 800
    """Training videos, eight question–answer turns each; the largest n of the sweep may not exceed it."""
    test: Positive = 250
    """Test videos, one question of each of the eight tasks each. More: smaller standard errors, longer evaluation."""
    seed: Seed = 2027
    """Seed of the training and test videos. Another seed gives another, equally distributed data set."""
    handwriting: Literal["test", "dev"] = "test"
    """Whose digits the test videos show: `test`, or `dev` while a study is being designed."""


class UrlConfig(Section):
    """One file of a host that is not the Hugging Face hub."""

    url: str
    """Its address, `https://` or `http://`, ending in the file's name."""
    sha256: str | None = None
    """Its SHA-256 in hexadecimal digits, if it is known; another file is then refused."""

    @field_validator("url")
    @classmethod
    def _names_a_file(cls, url: str) -> str:
        address = urlsplit(url)
        name = PurePosixPath(address.path).name
        if address.scheme not in ("http", "https") or not address.netloc or name in ("", ".."):
            raise ValueError("write https://, a host and a file")
        return url

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, sha256: str | None) -> str | None:
        if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
            raise ValueError("write 64 hexadecimal digits in lower case, as sha256sum prints them")
        return sha256


class FetchConfig(Section):
    """Files that `snakemake fetch` gets for a set: of one data set of the Hugging Face hub, or of other hosts."""

    dataset: str | None = None
    """`owner/name` of a data set of the Hugging Face hub."""
    revision: str | None = None
    """Commit, tag or branch of `dataset`; a commit is the same for ever. Null: the newest."""
    urls: list[UrlConfig] = []
    """Files of other hosts, instead of `dataset`."""
    annotations: list[str] = []
    """Patterns such as `train/*_qa.json` of the published files with records, `*` standing for any text. The records of
    all of them, in the order of their names, become the source's annotations file."""
    videos: list[str] = []
    """Patterns of the published videos: archives (.tar, .tar.gz, .zip and the like) are unpacked into the source's
    folder and removed, other files keep their path in the repository below it."""
    into: str = ""
    """Folder inside the source's folder that the videos go to, where the records' paths begin with one."""

    @field_validator("dataset")
    @classmethod
    def _is_of_the_hub(cls, dataset: str | None) -> str | None:
        if dataset is not None and not HUB_NAME.match(dataset):
            raise ValueError("write owner/name of a data set of the Hugging Face hub")
        return dataset

    @field_validator("into")
    @classmethod
    def _stays_inside(cls, into: str) -> str:
        if PurePosixPath(into).is_absolute() or ".." in PurePosixPath(into).parts:
            raise ValueError("write a folder inside the source's `videos`, such as frames/all")
        return into

    @model_validator(mode="after")
    def _names_files(self) -> "FetchConfig":
        if (self.dataset is None) == (not self.urls):
            raise ValueError("write either `dataset` or `urls`")
        if self.revision is not None and self.dataset is None:
            raise ValueError("`revision` belongs to `dataset`; take it out")
        if not self.annotations and not self.videos:
            raise ValueError('say which files: `annotations: ["*.json"]`, `videos: ["*.tar.gz"]` or both')
        return self


class SourceConfig(Section):
    """One set of conversations about the videos (or images) of one folder, in the format that LLaVA-style sets ship."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=LONGEST)]
    """Name of the set in manifests, subsets and messages; subsets keep the sets' shares."""
    annotations: InputFile | Annotated[list[InputFile], Field(min_length=1)]
    """A JSON or JSON Lines file, or several: records with `id`, `video` (or `image`) and `conversations`."""
    videos: InputFile
    """Folder that the records' `video` (or `image`) paths are relative to."""
    kind: Literal["video", "image"] = "video"
    """`image`: pictures with captions, such as LCS-558k; a picture is a video of one frame."""
    count: Annotated[Count, Field(gt=0)] | None = None
    """Records the files must have: an incomplete download is refused, and an n above the sum before any job starts.
    Null: counted when the data is prepared."""
    ids: Literal["unique", "repeated"] = "unique"
    """`repeated`: records share ids (sets that use the video's name as id); the k-th record with an id is then called
    `id#k`. `unique`: an id that comes twice is a problem."""
    extensions: list[str] = []
    """Endings such as `.mp4` to try in turn behind names that are no file; some sets leave them out."""
    fetch: list[FetchConfig] = []
    """Where `snakemake fetch` gets the set from; empty: annotations and videos are there already."""
    by_hand: str | None = None
    """How to get the videos that `fetch` cannot get; shown when they are missing."""

    @model_validator(mode="after")
    def _has_a_place_for_annotations(self) -> "SourceConfig":
        if self.fetches_annotations and len(self.files) > 1:
            raise ValueError("fetch makes one file of all records; name one file in `annotations`")
        return self

    @property
    def fetches_annotations(self) -> bool:
        """Say whether the annotations file is made by `snakemake fetch`."""
        return any(part.annotations for part in self.fetch)

    @property
    def files(self) -> list[str]:
        """The annotation files, in their order."""
        return [self.annotations] if isinstance(self.annotations, str) else list(self.annotations)


class LlavaConfig(Section):
    """Real videos with conversations about them."""

    sources: list[SourceConfig] = []
    """The sets that runs are finetuned on."""
    fetch: bool = True
    """Whether `snakemake fetch` downloads the sets that have a `fetch` entry. False: all files are in place already."""
    align: SourceConfig | None = None
    """The set that stage 1 reads; the paper's is LCS-558k (`kind: image`)."""
    long_videos: Literal["whole", "start"] = "whole"
    """Where the T frames of a video longer than T / min_fps seconds are taken: `whole`: uniform over all of it, at a
    lower rate; `start`: uniform over its first T / min_fps seconds. The paper ("uniformly, at least 1 fps") allows both
    readings; shorter videos are the same in both."""
    min_fps: Annotated[Number, Field(gt=0)] = 1.0
    """Frames per second below which a video counts as long."""
    failures: Share = 0.01
    """Share of records that may have a problem (missing, broken or slow video, malformed conversation) before the data
    is refused, and share of a run's examples that may fail to decode before it stops. What has a problem is left out,
    named in problems.csv and counted; nothing takes its place."""
    timeout: Seconds = 60.0
    """Seconds after which a video is given up on and its decoder killed."""
    checked_frames: Natural = 3
    """Frames of every video that are decoded when the data is prepared, uniform over it; 0: all frames, which takes as
    long as watching everything at full speed."""
    cache: InputFile | None = None
    """Folder that keeps the frames a run has read, resized, for later epochs and runs: 3 · image_size² bytes a frame,
    14 MB an example at 32 frames of 384 pixels. Changes no result; null: decode every time."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> "LlavaConfig":
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are called {twice[0]!r}; give each a name of its own")
        return self


class DataConfig(Section):
    """Where videos and conversations come from, and how they are read."""

    source: Literal["digits", "llava"] = "digits"
    """`digits`: videos generated by this workflow; `llava`: your own videos with conversations about them."""
    digits: DigitsConfig = DigitsConfig()
    """The generated videos, where `source` is `digits`."""
    llava: LlavaConfig = LlavaConfig()
    """The sets of conversations and videos, where `source` is `llava`."""
    turns: Literal["independent", "sequential"] = "independent"
    """`independent`: the turns of a conversation see the video and not each other, packed behind one copy of the video;
    `sequential`: a turn sees the turns before it, as in multi-turn chat."""
    length_groups: Few = 1
    """Batches whose examples are sorted by length together, which computes less padding; 1: purely random order."""

    @model_validator(mode="after")
    def _has_sources(self) -> "DataConfig":
        if self.source == "llava" and not self.llava.sources:
            raise ValueError("source llava needs llava.sources; name at least one set, as docs/data.md shows")
        return self

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks whose questions come with the data; none where `source` is `llava`."""
        return [task.name for task in DIGITS_TASKS] if self.source == "digits" else []

    @property
    def examples(self) -> int | None:
        """Number of training examples there are; None if that is not known before the data is prepared."""
        if self.source == "digits":
            return self.digits.train
        counts = [source.count for source in self.llava.sources]
        return None if None in counts else sum(counts)

    def sources(self, split: str) -> list[SourceConfig]:
        """Return the sets that a split is made of; none for generated videos."""
        if self.source == "digits":
            return []
        sources = self.llava.sources if split == "train" else [self.llava.align]
        return [source for source in sources if source]

    def fetched(self, split: str) -> list[SourceConfig]:
        """Return the sets of a split that `snakemake fetch` gets something for."""
        return [source for source in self.sources(split) if source.fetch and self.llava.fetch]

    def annotation_files(self, split: str) -> list[str]:
        """Return the user's own files that a split is prepared from."""
        made = {source.name for source in self.fetched(split) if source.fetches_annotations}
        return [file for source in self.sources(split) if source.name not in made for file in source.files]

    def splits(self) -> list[str]:
        """Return the splits that a study's runs read."""
        return ["train", "test"] if self.source == "digits" else ["train"]

    def reading(self) -> dict[str, Any]:
        """Return what decides the examples a run reads out of its data, besides n, T and seed: nothing for digits."""
        rule = {"long_videos": self.llava.long_videos}
        if self.llava.long_videos != "whole":
            rule["min_fps"] = self.llava.min_fps
        grouped = {"length_groups": self.length_groups} if self.length_groups > 1 else {}
        return (rule if self.source == "llava" else {}) | grouped
