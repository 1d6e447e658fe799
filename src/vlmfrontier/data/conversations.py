"""Conversations about videos in the format that LLaVA-style sets ship.

A JSON list of `{"id", "video", "conversations": [{"from": "human" or "gpt", "value"}]}`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from vlmfrontier.errors import UserError

VIDEO_TAGS = ("<image>", "<video>")  # where the video stands in the first question; both spellings are in use


@dataclass(frozen=True)
class Conversation:
    """A video and the turns (question, answer) about it."""

    id: str
    video: str
    turns: tuple[tuple[str, str], ...]


def _without_tag(text: str) -> str:
    for tag in VIDEO_TAGS:
        text = text.replace(tag, "")
    return text.strip()


def _parse(record: dict, where: str) -> Conversation:
    for key in ("id", "video", "conversations"):
        if key not in record:
            raise UserError(f"{where}: no {key!r}; a record has id, video and conversations")
    messages = record["conversations"]
    expected = ["human", "gpt"] * (len(messages) // 2)
    if not messages or [m.get("from") for m in messages] != expected:
        roles = [m.get("from") for m in messages]
        raise UserError(f"{where} ({record['id']}): turns come from {roles}; they must alternate human, gpt")
    texts = [_without_tag(str(m.get("value", ""))) for m in messages]
    turns = tuple(zip(texts[0::2], texts[1::2], strict=True))
    if not all(answer for _, answer in turns):
        raise UserError(f"{where} ({record['id']}): an answer is empty; remove the turn")
    return Conversation(str(record["id"]), str(record["video"]), turns)


def read_conversations(path: Path) -> list[Conversation]:
    """Return the conversations of a LLaVA-style JSON file, in its order.

    Raises `UserError` naming the record if a key is missing, roles do not alternate, an answer is empty or an id comes
    twice.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error
    conversations = [_parse(record, f"{path} record {i}") for i, record in enumerate(records)]
    seen: set[str] = set()
    for conversation in conversations:
        if conversation.id in seen:
            raise UserError(f"{path}: id {conversation.id!r} comes twice; ids must be unique, they define the subsets")
        seen.add(conversation.id)
    return conversations


def write_conversations(conversations: list[Conversation], path: Path) -> None:
    """Write `conversations` to `path` in the same format, the video's tag before the first question."""
    records = []
    for conversation in conversations:
        messages = []
        for i, (question, answer) in enumerate(conversation.turns):
            value = f"{VIDEO_TAGS[0]}\n{question}" if i == 0 else question
            messages += [{"from": "human", "value": value}, {"from": "gpt", "value": answer}]
        records.append({"id": conversation.id, "video": conversation.video, "conversations": messages})
    path.write_text(json.dumps(records, indent=1), encoding="utf-8")
