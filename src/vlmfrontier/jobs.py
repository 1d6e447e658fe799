"""What the scripts that need torch do alike: the warm server if asked, threads, quiet libraries.

A script that leaves its job to the server imports nothing else, so every import that takes time stands in a function.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.warm import run_warm

WARM = "--warm"


def run_job(
    documentation: str | None,
    main: Callable[[Namespace], None],
    arguments: Callable[[ArgumentParser], None] | None = None,
    spread: Callable[[Namespace, Sequence[str]], None] | None = None,
    stage: str | None = None,
) -> None:
    """Parse the command line of a training script and call `main` with it, here or in a child of the warm server.

    `arguments` adds the script's own options to `--study` and `--warm`; `spread` may start the command line again, in
    several processes instead of this one. How a `stage` of a run (`--run`) ended is also kept where it is called by
    hand. Exit statuses are those of `command_line.run`.
    """
    if WARM in sys.argv[1:]:
        _leave_to_server()
    from vlmfrontier import command_line  # noqa: PLC0415
    from vlmfrontier.ended import own_record, record_file, recorded  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.sweep.runs import find_run  # noqa: PLC0415

    parser = command_line.parser(documentation)
    command_line.study_argument(parser)
    if arguments is not None:
        arguments(parser)
    parser.add_argument(WARM, action="store_true", help="run in a child of a server that has torch imported")

    def job() -> None:
        given = parser.parse_args()
        if spread is not None:
            spread(given, sys.argv)
        if stage is None or own_record() is not None:
            work(given)
        else:
            find_run(read_study(given.study), given.run)  # else a folder would be made of whatever was given
            recorded(record_file(given.study.parent / "runs" / given.run, stage), lambda: work(given))

    def work(given: Namespace) -> None:
        _prepare()
        _check_gpus(given, uses_them=stage != "answer")  # there, another process does
        main(given)

    command_line.run(job)


def check_language(name: str, known: Iterable[str]) -> None:
    """Raise `UserError` if a study has no language model of this name."""
    known = list(known)
    if name not in known:
        raise UserError(f"--language {name}: no such language model; {did_you_mean(name, known)}")


def _leave_to_server() -> None:
    """Leave with the exit status of this very job run by the warm server; return if there is none."""
    sys.argv[1:] = [text for text in sys.argv[1:] if text != WARM]
    status = run_warm(Path(sys.argv[0]).resolve(), sys.argv[1:])
    if status is not None:
        sys.exit(status)


def _prepare() -> None:
    """Set the threads that the caller's environment asks for, and leave the terminal to our own lines."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a job fetches nothing; read when transformers is imported
    import torch  # noqa: PLC0415  (slow; only once it is sure that the job runs here)
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads:
        # A forked child has read the variable of its server, not this one.
        torch.set_num_threads(int(threads))


def _check_gpus(given: Namespace, uses_them: bool) -> None:
    """Raise `NodeFault` or `UserError` unless this process sees the GPUs that it was placed on, and they compute."""
    import torch  # noqa: PLC0415

    from vlmfrontier.cluster.node import check_gpus, expected  # noqa: PLC0415

    without_cuda = given.without_cuda if "without_cuda" in given else not expected().get("cuda", False)
    check_gpus(torch, given.gpus if "gpus" in given else None, without_cuda, uses_them)
