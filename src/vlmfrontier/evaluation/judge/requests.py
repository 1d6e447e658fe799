"""What a judge is asked: requests as lmms-eval's tasks make them, known by their content."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Body = dict[str, Any]
"""A chat-completions request without the name of the model."""


def request_body(sent: Mapping[str, Any]) -> Body:
    """Return what is asked, whoever is asked."""
    return {key: value for key, value in sent.items() if key != "model"}


def digest(content: object) -> str:
    """Return the SHA-256 of anything JSON can say, in hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def request_key(judge: str, body: Body) -> str:
    """Return what a reply is kept under: the judge's name and the whole request."""
    return digest({"judge": judge, "request": body})


def wants_pred(body: Body) -> bool:
    """Say whether the reply must hold a yes or no beside its score, as ActivityNet-QA's does."""
    return any("'pred'" in str(message.get("content")) for message in body.get("messages", []))


def prompt_hashes(bodies: Iterable[Body]) -> dict[str, int]:
    """Return how many requests use each instruction, known by 16 digits of the SHA-256 of the first message."""
    return dict(sorted(Counter(digest(body["messages"][0]["content"])[:16] for body in bodies).items()))
