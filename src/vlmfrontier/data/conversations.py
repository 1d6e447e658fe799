"""Conversations about videos in the format that LLaVA-style sets ship.

Records `{"id", "video", "conversations": [{"from": "human" or "gpt", "value"}]}`: a JSON list in `conversations.json`,
or one a line in `conversations.jsonl`, of which a reader holds no more than where each begins.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from vlmfrontier.data.problems import EMPTY_ANSWER, MISSING_KEY, TURNS, UNKNOWN_ROLE, WRONG_TYPE
from vlmfrontier.errors import UserError

VIDEO_TAGS = ("<image>", "<video>")  # where the video stands in the first question; both spellings are in use
ROLES = ("human", "gpt")

LIST, LINES, IDS, INDEX = "conversations.json", "conversations.jsonl", "ids.txt", "index.npy"
ENTRY = np.dtype([("offset", "<i8"), ("bytes", "<i4"), ("characters", "<i4"), ("source", "<i2")])
"""What `index.npy` says of a conversation: where its line begins and how long it is, its text, its source."""


@dataclass(frozen=True)
class Conversation:
    """A video and the turns (question, answer) about it."""

    id: str
    video: str
    turns: tuple[tuple[str, str], ...]

    @property
    def characters(self) -> int:
        """Length of all questions and answers."""
        return sum(len(question) + len(answer) for question, answer in self.turns)


class RecordError(UserError):
    """A record that is no conversation: `kind` is one of the kinds of `problems`."""

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind = kind


def _without_tag(text: str) -> str:
    for tag in VIDEO_TAGS:
        text = text.replace(tag, "")
    return text.strip()


def parse_record(record: dict, key: str = "video") -> Conversation:
    """Return the conversation that a record says, `key` being what it calls its video.

    Raises `RecordError` if a key is missing, a role unknown, roles do not alternate, or an answer is empty.
    """
    for needed in ("id", key, "conversations"):
        if record.get(needed) in (None, ""):
            raise RecordError(MISSING_KEY, f"no {needed!r}; a record has id, {key} and conversations")
    if not isinstance(record[key], str):
        raise RecordError(MISSING_KEY, f"{key!r} is no path: {record[key]!r}"[:200])
    name = _text(record["id"], "id")
    messages = record["conversations"]
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise RecordError(TURNS, "'conversations' is no list of messages")
    roles = [m.get("from") for m in messages]
    if not roles or roles != list(ROLES) * (len(roles) // 2):
        unknown = any(role not in ROLES for role in roles)
        raise RecordError(
            UNKNOWN_ROLE if unknown else TURNS, f"turns come from {roles}; they must alternate human, gpt"[:200]
        )
    texts = [_without_tag(_text(m.get("value"), "value")) for m in messages]
    turns = tuple(zip(texts[0::2], texts[1::2], strict=True))
    if not all(answer for _, answer in turns):
        raise RecordError(EMPTY_ANSWER, "an answer is empty; remove the turn")
    return Conversation(name, record[key], turns)


def _text(value: object, key: str) -> str:
    """Return a text, or a number as one; nothing for null. Raises `RecordError` for everything else."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(WRONG_TYPE, f"{key!r} is no text: {value!r}"[:200])
    return str(value)


def as_record(conversation: Conversation) -> dict:
    """Return the record that says `conversation`, the video's tag before the first question."""
    messages = []
    for i, (question, answer) in enumerate(conversation.turns):
        value = f"{VIDEO_TAGS[0]}\n{question}" if i == 0 else question
        messages += [{"from": "human", "value": value}, {"from": "gpt", "value": answer}]
    return {"id": conversation.id, "video": conversation.video, "conversations": messages}


def read_conversations(path: Path) -> list[Conversation]:
    """Return the conversations of a LLaVA-style JSON file, in its order.

    Raises `UserError` naming the record if a key is missing, roles do not alternate, an answer is empty or an id comes
    twice.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(f"{path}: no list of records; prepare the data again")
    conversations = [_parse_at(record, f"{path} record {i}") for i, record in enumerate(records)]
    seen: set[str] = set()
    for conversation in conversations:
        if conversation.id in seen:
            raise UserError(f"{path}: id {conversation.id!r} comes twice; ids must be unique, they define the subsets")
        seen.add(conversation.id)
    return conversations


def _parse_at(record: dict, where: str) -> Conversation:
    try:
        return parse_record(record)
    except RecordError as error:
        raise UserError(f"{where} ({record.get('id', 'without id')}): {error}") from None


def write_conversations(conversations: list[Conversation], path: Path) -> None:
    """Write `conversations` to `path` in the same format, the video's tag before the first question."""
    path.write_text(json.dumps([as_record(c) for c in conversations], indent=1), encoding="utf-8")


class Conversations(Sequence[Conversation]):
    """The conversations of a split, in their order."""

    ids: Sequence[str]
    lengths: np.ndarray
    """Characters of each conversation, (conversations,): how long it will be, nearly."""
    sources: np.ndarray
    """Number of the source of each, (conversations,)."""


class ConversationList(Conversations):
    """Conversations in memory, all of one source."""

    def __init__(self, conversations: Sequence[Conversation]):
        self._conversations = conversations
        self.ids = [c.id for c in conversations]
        self.lengths = np.array([c.characters for c in conversations])
        self.sources = np.zeros(len(conversations), np.int64)

    def __len__(self) -> int:
        return len(self._conversations)

    def __getitem__(self, index: int) -> Conversation:
        return self._conversations[index]


class ConversationFile(Conversations):
    """Conversations on disk: one is read when it is asked for. May be used by several processes after a fork."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._index = np.load(folder / INDEX, mmap_mode="r")
        self._file: BinaryIO | None = None

    @property
    def ids(self) -> list[str]:
        """The ids, read anew from their file: only the choice of a subset needs them."""
        with (self.folder / IDS).open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    @property
    def lengths(self) -> np.ndarray:
        return np.asarray(self._index["characters"])

    @property
    def sources(self) -> np.ndarray:
        return np.asarray(self._index["source"])

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Conversation:
        if self._file is None:
            self._file = (self.folder / LINES).open("rb", buffering=0)
        entry = self._index[index]
        # At a position of its own: processes that share the file after a fork do not move each other's.
        line = os.pread(self._file.fileno(), int(entry["bytes"]), int(entry["offset"]))
        return parse_record(json.loads(line))

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}


def write_lines(folder: Path, conversations: Iterable[tuple[Conversation, int]]) -> None:
    """Write conversations with the numbers of their sources to `folder`, one by one as they come.

    `index.npy` is written last: a folder without it was not finished.
    """
    (folder / INDEX).unlink(missing_ok=True)
    with (folder / LINES).open("wb") as lines, (folder / IDS).open("w", encoding="utf-8") as ids:
        entries = np.fromiter(_written(conversations, lines, ids), ENTRY)
    np.save(folder / INDEX, entries)


def _written(
    conversations: Iterable[tuple[Conversation, int]], lines: BinaryIO, ids: TextIO
) -> Iterator[tuple[int, int, int, int]]:
    """Write conversations and their ids; yield the entry of each in the index."""
    offset = 0
    for conversation, source in conversations:
        line = json.dumps(as_record(conversation), separators=(",", ":")).encode() + b"\n"
        lines.write(line)
        ids.write(json.dumps(conversation.id) + "\n")
        yield offset, len(line), conversation.characters, source
        offset += len(line)


def open_conversations(folder: Path) -> Conversations:
    """Return the conversations of the prepared split in `folder`, whichever way its manifest says they are kept."""
    about = json.loads((folder / "manifest.json").read_text())
    if "folders" in about:
        return ConversationFile(folder)
    return ConversationList(read_conversations(folder / LIST))
