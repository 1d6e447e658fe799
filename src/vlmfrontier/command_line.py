"""What every script does alike: parse arguments, read the resolved study, report a user's mistake in one line."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlmfrontier.errors import UserError


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser whose `--help` shows a script's docstring as it is written."""
    return argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)


def study_argument(to: argparse.ArgumentParser) -> None:
    """Add the required `--study results/<study>/study.json`; the folder that holds the file is the results folder."""
    to.add_argument(
        "--study", type=Path, required=True, metavar="STUDY_JSON", help="the resolved study, results/<study>/study.json"
    )


def run(main: Callable[[], Any]) -> None:
    """Call `main`; what a user can mend ends as `error: …` on stderr with exit status 2 and no traceback."""
    try:
        main()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
