"""Make lmms-eval fetch the data sets of tasks, and count what is there; runs in lmms-eval's environment.

python -m vlmfrontier.evaluation.lmms.data --tasks videomme,mvbench --output found.json
"""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmms_eval.tasks import TaskManager, get_task_dict

SHOWN = 20


def leaves(tasks: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, task) of all tasks without subtasks in lmms-eval's nested dictionary."""
    for name, task in tasks.items():
        if isinstance(task, dict):
            yield from leaves(task)
        else:
            yield str(name), task


def found(task: Any, limit: int | None) -> dict[str, Any]:
    """Return questions and videos of a task, and the videos that are missing or empty."""
    documents = task.eval_docs_no_media
    asked = documents if limit is None else documents.select(range(min(limit, len(documents))))
    videos: dict[str, bool] = {}
    for document in asked:
        try:
            (name,) = task.doc_to_visual(document)
        except (SystemExit, FileNotFoundError) as error:  # how tasks say that a video is missing
            videos[str(error)] = False
            continue
        videos[name] = Path(name).exists() and Path(name).stat().st_size > 0
    missing = [name for name, there in videos.items() if not there]
    return {"questions": len(documents), "videos": len(videos), "missing": len(missing), "first": missing[:SHOWN]}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", required=True, help="names of lmms-eval, separated by commas")
    parser.add_argument("--include-path", help="folder with task files of your own")
    parser.add_argument("--limit", type=int, help="questions whose videos are looked for, per task")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    manager = TaskManager("WARNING", include_path=given.include_path)
    tasks = get_task_dict(given.tasks.split(","), manager, "simple")
    given.output.write_text(json.dumps({name: found(task, given.limit) for name, task in leaves(tasks)}, indent=2))


if __name__ == "__main__":
    main()
