"""A process that has Snakemake imported and calls it in a child of its own for every line that it reads.

A new Python spends two thirds of a dry run on imports. Each call has the whole state of a new process, but for modules
that are imported already: working directory, environment, streams, command line, exit status.
"""

import json
import os
import sys

import snakemake.cli
import snakemake.dag
import snakemake.report
import snakemake.scheduling.milp
import snakemake.workflow

import vlmfrontier.job_graph
import vlmfrontier.sweep.jobs
import vlmfrontier.sweep.status
import vlmfrontier.workflow  # noqa: F401 — with the others above: what the Snakefile imports


def call(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """Become `snakemake *arguments` in `folder`, which prints into the file `output`."""
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    snakemake.cli.main()


def serve() -> None:
    """Answer each request on stdin with the exit status of its call, until there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            call(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
