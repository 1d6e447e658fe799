# PYTHON_ARGCOMPLETE_OK
"""The parser of `vlmfrontier`. A command's module is imported when the command is called, never for another one."""

import inspect
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from vlmfrontier import command_line
from vlmfrontier.errors import UserError, did_you_mean

PROGRAM = "vlmfrontier"


class Command(NamedTuple):
    """A command: the function of its name in a module of this package, beside one that adds its arguments."""

    name: str
    module: str
    summary: str


COMMANDS = {
    "before the runs": (
        Command("plan", "prepare", "resolve a study; count its runs, GPU-hours, memory and disk"),
        Command("fetch", "prepare", "fetch published models, training sets and benchmarks; needs a network"),
        Command("power", "power", "which differences and directions the planned runs can detect"),
        Command("data", "prepare", "prepare the videos and questions of a study, or check a set of your own"),
    ),
    "while they run": (
        Command("status", "status", "which runs are done, run, wait or have failed, and why"),
        Command("so-far", "pages", "laws, frontier and report of the runs that are finished"),
        Command("controller", "controller", "run Snakemake in a Slurm job that restarts by itself"),
        Command("recover", "recover", "unlock a study after Snakemake was killed on a cluster"),
    ),
    "what was found": (
        Command("query", "ask", "what to deploy for a budget and a number of examples"),
        Command("compare", "ask", "two studies: what differs, the same runs in pairs, what that does to x*"),
        Command("next", "frontier", "which runs to add next"),
        Command("figure", "pages", "draw figures, of any target"),
        Command("report", "pages", "write report.html and explorer.html"),
    ),
    "step by step": (
        Command("collect", "laws", "write runs.csv, from the runs or from your own table"),
        Command("fit", "laws", "fit, resample and compare the laws of a target"),
        Command("law-tables", "laws", "tables of the forms, and of other ways to fit them"),
        Command("profile", "laws", "how well the data determine each parameter of a law"),
        Command("frontier", "frontier", "search the frontier and write its tables"),
    ),
    "for those who change the package": (
        Command("schema", "prepare", "write the JSON schema of configuration files"),
        Command("gallery", "pages", "write docs/figures.md"),
    ),
}
"""All commands, in the order of `--help`."""
BY_NAME = {command.name: command for group in COMMANDS.values() for command in group}


def main() -> None:
    """Run the command of this process's command line."""
    if "_ARGCOMPLETE" in os.environ:
        complete()
    command_line.run(lambda: call(sys.argv[1:]))


def call(words: Sequence[str]) -> None:
    """Run a command with its arguments in this process. Raises `UserError` for what a user can correct."""
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        print(overview())
        return
    if name not in BY_NAME:
        what = "option" if name.startswith("-") else "command"
        raise UserError(f"{name}: no such {what}; {did_you_mean(name, BY_NAME)} (see {PROGRAM} --help)")
    parser = command_line.Parser(prog=f"{PROGRAM} {name}")
    run = filled(parser, BY_NAME[name])
    run(parser.parse_args(words[1:]))


def filled(parser: command_line.Parser, command: Command) -> Callable[[Namespace], None]:
    """Return the function of a command after giving a parser its description and arguments."""
    module, name = import_module(f"{__package__}.{command.module}"), command.name.replace("-", "_")
    parser.description = inspect.getdoc(getattr(module, name))
    getattr(module, f"{name}_arguments")(parser)
    return getattr(module, name)


def overview() -> str:
    """Return what `vlmfrontier --help` prints: every command in a line, and an example."""
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTION …]",
        "",
        "From a finetuning sweep, or a table of your own, to the compute-optimal frontier. `snakemake` makes all",
        "results; these commands plan, follow and ask them. --study is a study's name, or results/<study>/study.json.",
    ]
    for group, commands in COMMANDS.items():
        lines += ["", f"{group}:", *(f"  {command.name:<12}{command.summary}" for command in commands)]
    return "\n".join(
        [
            *lines,
            "",
            f"example:   {PROGRAM} query --study digits --budget 100M --examples 400",
            f"options:   {PROGRAM} COMMAND --help",
            f'tab key:   eval "$(register-python-argcomplete {PROGRAM})"   in bash or zsh, once per shell',
        ]
    )


def complete() -> None:
    """Answer a shell that completes a command line, and leave; only the command that it names is imported."""
    import argcomplete

    words = os.environ.get("COMP_LINE", "").split()
    parser = command_line.Parser(prog=PROGRAM)
    choices = parser.add_subparsers(metavar="COMMAND")
    for command in BY_NAME.values():
        chosen = choices.add_parser(command.name, help=command.summary)
        if command.name in words[1:2]:
            filled(chosen, command)
    argcomplete.autocomplete(parser)
