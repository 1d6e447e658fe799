"""Write the JSON schema of configuration files: python scripts/schema.py

Writes workflow/schemas/config.schema.json, by which editors complete and check keys. Run it after a section changes.
"""

import json
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.study.load import json_schema

DEFAULT = Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.json"


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--output", type=Path, default=DEFAULT)
    given = parser.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(schema_text())
    print(f"schema → {given.output}")


def schema_text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    command_line.run(main)
