"""What every script does alike: parse arguments, find the study, report in one line what a user can correct."""

import argparse
import contextlib
import errno
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from vlmfrontier.cluster.node import on_fit_node
from vlmfrontier.ended import own_record, recorded
from vlmfrontier.errors import NODE_FAULT, NodeFault, UserError, did_you_mean

STUDY_JSON = "study.json"
THE_ONLY_ONE = object()
"""Stands for the only study in results/, where none is named."""
_OF_THE_DISK = {
    errno.ENOSPC: "make room and call again",
    errno.EDQUOT: "make room and call again",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EISDIR: "name a file",
    errno.EEXIST: "a file stands where a folder should be; remove it",
    errno.ENOTDIR: "a folder was expected",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link leads back to itself",
    errno.EIO: "the disk may be damaged",
    errno.ESTALE: "call again",
}
"""Errors of the system that are no fault of the program, and what to do."""


class Parser(argparse.ArgumentParser):
    """A parser whose `--help` shows a description as it is written, and to which a mistake is one line."""

    def __init__(self, **more: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **more)

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` that says where help is."""
        raise UserError(f"{message}; see {self.prog} --help")

    def parse_args(self, *given: Any) -> argparse.Namespace:
        """Return what a command line gives, with the only study there is where it names none."""
        found = super().parse_args(*given)
        if getattr(found, "study", None) is THE_ONLY_ONE:
            found.study = the_only_study()
        return found


def parser(documentation: str | None) -> Parser:
    """Return the parser of a script, described by its docstring."""
    return Parser(description=documentation)


def study_argument(to: argparse.ArgumentParser, **more: Any) -> None:
    """Add `--study`, whose value is the path of a study's resolved file; its folder is the results folder."""
    what = "name of the study, its results folder, or results/<study>/study.json; default: the only one in results/"
    more = {"default": THE_ONLY_ONE, **more}
    study = to.add_argument("--study", type=study_file, metavar="STUDY", help=what, **more)
    study.completer = lambda **_: _known_studies()  # for a shell


def target_argument(to: Any, what: str, *names: str, **more: Any) -> None:
    """Add `--target`, also called `names`: one of the study's targets."""
    target = to.add_argument("--target", *names, metavar="TARGET", help=what, **more)
    target.completer = lambda parsed_args, **_: _known_targets(parsed_args.study)  # for a shell


def _known_targets(study: Path | str) -> list[str]:
    from vlmfrontier.study.load import read_study  # noqa: PLC0415 — for a shell alone

    return read_study(the_only_study() if study is THE_ONLY_ONE else study_file(str(study))).targets()


def _known_studies() -> list[str]:
    return sorted(folder.parent.name for folder in Path("results").glob(f"*/{STUDY_JSON}"))


def the_only_study() -> Path:
    """Return the resolved study in results/. Raises `UserError` if there is none, or are several."""
    known = _known_studies()
    if not known:
        raise UserError("--study is missing, and no study is in results/ here; run `snakemake plan` first")
    if len(known) > 1:
        raise UserError(f"--study is missing: results/ here has {', '.join(known)}")
    return study_file(known[0])


def study_file(name: str) -> Path:
    """Return the resolved study that `name` means: a path to it, its folder, or a study's name under results/.

    Raises `UserError` if there is none, with the nearest name.
    """
    path = Path(name)
    if os.path.isfile(path):  # False for what cannot be a path too
        if path.suffix != ".json":
            raise UserError(f"--study {name}: this is no resolved study; write the study's name, or {_example()}")
        return path
    for folder in (path, Path("results") / name):
        if name and os.path.isfile(folder / STUDY_JSON):
            return folder / STUDY_JSON
    known = _known_studies()
    if not known:
        raise UserError(f"--study {name}: no such file, and no study in results/ here; run `snakemake plan` first")
    asked = path.parent.name if path.name == STUDY_JSON else path.name
    raise UserError(f"--study {name}: no such study; {did_you_mean(asked, known)} (or run `snakemake plan` first)")


def _example() -> str:
    return f"results/<study>/{STUDY_JSON}"


def run(main: Callable[[], Any]) -> None:
    """Call `main`; what a user can correct ends as `error: …` on stderr, without a traceback.

    In a rule's job, how it ended is kept beside its log. Exit status 2 for a mistake in the input, 1 for a disk that is
    full or may not be written to, 86 for a node at fault. Where nobody reads the output
    any more (`| head`), it ends as other programs do, without a word.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a letter
    try:
        try:
            _run(main)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        if not _nobody_reads(sys.stdout):
            raise
        _to_nowhere(sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.filename is not None:
            raise
        # Of the flush.
        _to_nowhere(sys.stdout)
        _leave(f"the output cannot be written: {error.strerror}", 1)


def _run(main: Callable[[], Any]) -> None:
    def job() -> None:
        with on_fit_node(record):
            main()
        if sys.stdout is not None:
            sys.stdout.flush()  # a job whose last words are lost has failed

    record = own_record()
    try:
        if record is None:
            main()
        else:
            recorded(record, job)
    except UserError as error:
        _leave(str(error), 2)
    except NodeFault as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        _leave(str(error), NODE_FAULT)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _leave(f"{where}{str(error.strerror).lower()}; {_OF_THE_DISK[error.errno]}", 1)


def _leave(message: str, status: int) -> None:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(status)


def _nobody_reads(stream: Any) -> bool:
    """Say whether a stream is a pipe whose reader has gone."""
    asked = select.poll()
    asked.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def _to_nowhere(stream: Any) -> None:
    """Let what is left in a stream go nowhere: Python writes it once more as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
