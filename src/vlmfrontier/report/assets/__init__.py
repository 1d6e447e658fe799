"""The pages' templates, styles and scripts."""

import re
from importlib import resources


def asset(name: str) -> str:
    """Return the text of a file in this folder."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def filled(template: str, parts: dict[str, str]) -> str:
    """Return the template of this name with each `{{name}}` replaced by its part; a part may hold braces of its own."""
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], asset(template))
