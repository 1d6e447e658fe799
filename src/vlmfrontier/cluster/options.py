"""Values of a site file that become options of sbatch or lines of a job's script: which are taken, and how written.

What could break a command line or run as a command is refused where it is written. The Slurm plugin searches its own
options in `slurm_extra` as text, so what it would take for one of them is refused here, in one line.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from vlmfrontier.errors import did_you_mean
from vlmfrontier.study.files import Written

if TYPE_CHECKING:
    from vlmfrontier.cluster.site import Partition, Site

MANAGED = {
    "job-name": "J",
    "output": "o",
    "error": "e",
    "parsable": "",
    "export": "",
    "comment": "",
    "workdir": "D",
    "chdir": "D",
    "account": "A",
    "partition": "p",
    "mem": "",
    "mem-per-cpu": "",
    "ntasks": "n",
    "ntasks-per-gpu": "",
    "cpus-per-task": "c",
    "cpus-per-gpu": "",
    "time": "t",
    "constraint": "C",
    "qos": "q",
    "nodes": "N",
    "clusters": "M",
    "gres": "",
    "gpus": "G",
}
"""Long options that the Slurm plugin writes itself, with their short forms."""
PLANNED = {
    **dict.fromkeys(["ntasks-per-node", "gpus-per-node", "gpus-per-task", "gpus-per-socket", "mem-per-gpu"], ""),
    **{"array": "a", "wrap": "", "wait": "W", "test-only": "", "help": "h", "usage": "", "version": "V", "batch": ""},
    **{"requeue": "", "no-requeue": "", "hold": "H", "input": "i", "time-min": "", "signal": "", "open-mode": ""},
    **{"begin": "b", "deadline": "", "export-file": "", "get-user-env": "", "uid": "", "gid": ""},
}
"""Options that would change what the plan counts with, or how the workflow follows its jobs."""
OWN_KEYS = {
    "account": "account",
    "partition": "gpu.partition or cpu.partition",
    "qos": "qos",
    "reservation": "reservation",
    "exclude": "exclude",
    "constraint": "constraint",
    "mail-user": "mail.address",
    "mail-type": "mail.when",
    "time": "gpu.hours and minutes",
    "mem": "gpu.host_memory or cpu.memory",
    "gres": "gpu.model and gpu.per_node",
    "gpus": "gpu.model and gpu.per_node",
}
"""Options that a key of the site file stands for."""
SHORT_OWN = {"x": "exclude"}
MAILS = ("NONE", "BEGIN", "END", "FAIL", "REQUEUE", "ALL", "INVALID_DEPEND", "STAGE_OUT", "TIME_LIMIT")
MAILS += ("TIME_LIMIT_90", "TIME_LIMIT_80", "TIME_LIMIT_50")
_LETTERS = "".join(letter for letter in MANAGED.values() if letter and letter not in "qMG")
_TAKEN = re.compile(rf"-J\s?|-[{_LETTERS}]\s|--(?:{'|'.join(MANAGED)})[=\s]|--parsable")


def sbatch_words(site: "Site", partition: "Partition") -> list[str]:
    """Return the options of a job that no resource of the Slurm plugin stands for, each one word."""
    reservation = partition.reservation or site.reservation
    words = [f"--reservation={reservation}"] if reservation else []
    if site.mail.address:
        words += [f"--mail-user={site.mail.address}", f"--mail-type={','.join(site.mail.when)}"]
    return [*words, *site.extra]


def quoted(words: Iterable[str]) -> str:
    """Return words as one text for a shell. Each is in quotes: the plugin would take `-n ` at the end of a name for an
    option."""
    return " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in words)


def taken_by_plugin(words: Iterable[str]) -> str:
    """Return the word in which the Slurm plugin would see an option that it writes itself; empty if there is none."""
    return next((word for word in words if _TAKEN.search(quoted([word]))), "")


def _pattern(allowed: str, hint: str) -> Callable[[Any], Any]:
    """Return a check that text consists of the `allowed` characters and begins with no dash."""
    whole = re.compile(rf"(?!-)[{allowed}]+\Z")

    def check(value: str) -> str:
        if not whole.match(value):
            raise ValueError(hint)
        return str(value)

    return check


def _joined(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(name, str) and "," not in name for name in value):
        return ",".join(value)
    return value


def _listed(value: Any) -> Any:
    """Return a single word as a list, and nothing as an empty one."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _lines(value: Any) -> Any:
    """Return the lines of text; a list may hold several lines in one entry."""
    texts = _listed(value)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return texts
    return [line for text in texts for line in text.splitlines() if line.strip()]


def _upper(value: Any) -> Any:
    words = _listed(value)
    return [word.upper() if isinstance(word, str) else word for word in words] if isinstance(words, list) else words


def _known_mail(word: str) -> str:
    if word not in MAILS:
        raise ValueError(f"no time at which Slurm writes; {did_you_mean(word, MAILS)}")
    return word


def _names(value: str) -> str:
    if any(not name for name in value.split(",")) or len(set(value.split(","))) < len(value.split(",")):
        raise ValueError("write each name once, with a comma between two")
    return value


def _option(word: str) -> str:
    """Return a word that is one whole option of sbatch which nothing else sets."""
    if not re.match(r"(--[A-Za-z][\w-]*(=.*)?|-[A-Za-z].*)\Z", word, re.DOTALL) or "\n" in word or "\r" in word:
        raise ValueError("not one option; write --name or --name=value, each as a word of its own")
    managed = {**MANAGED, **PLANNED}
    if word.startswith("--"):
        name = word[2:].partition("=")[0]
        # sbatch takes the beginning of a name for the name
        whole = [key for key in [*managed, *OWN_KEYS] if key.startswith(name)]
        found = name if name in whole else (whole[0] if len(name) >= 2 and whole else "")
    else:
        found = next((key for key, letter in managed.items() if letter == word[1]), SHORT_OWN.get(word[1], ""))
    if found in OWN_KEYS:
        raise ValueError(f"--{found} has a key of its own: write {OWN_KEYS[found]}")
    if found:
        raise ValueError(f"--{found} is set by the workflow; take it out")
    return word


def _image_from_here(value: Any) -> Any:
    """Return a path absolutely, beside the file that names it; an address as it is."""
    if isinstance(value, Written) and value and "://" not in value:
        return os.path.abspath(value.folder / value)
    return value


def without_container(image: str | None, deployment: Iterable[Any]) -> str:
    """Return what is wrong with a call whose site names the `image`; empty if its jobs run in it.

    `deployment` are the methods of the call (`--software-deployment-method`).
    """
    if image is None:
        return ""
    if "apptainer" not in [str(getattr(method, "name", method)).lower() for method in deployment]:
        return f"the site's container {image} needs Apptainer; add --software-deployment-method apptainer"
    if "://" not in image and not os.path.exists(image):
        return f"the site's container {image}: no such file; envs/apptainer.def says how to build it"
    return ""


def _runs(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return lines that bash can read: with an open quote every job would fail."""
    bash = shutil.which("bash") if lines else None
    if bash:
        read = subprocess.run([bash, "-n"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
        if read.returncode:
            said = read.stderr.strip().splitlines()
            raise ValueError(f"bash cannot read these lines ({said[0].removeprefix('bash: ') if said else 'an error'})")
    return lines


def _plain(text: str) -> str:
    if not re.match(r"[\w€$£¥₹ .-]*\Z", text):
        raise ValueError("write a currency such as EUR, $ or credits")
    return text.strip()


_name = _pattern(r"\w.@+:/%-", "write a name of letters, digits and . _ - only")
Name = Annotated[str, AfterValidator(_name)]
"""A name that Slurm knows: an account, a quality of service, a reservation."""

Names = Annotated[
    str,
    BeforeValidator(_joined),
    AfterValidator(_pattern(r"\w.@+:/%,-", "write names of letters, digits and . _ - only")),
    AfterValidator(_names),
]
"""A name, or several with commas or as a list."""

Constraint = Annotated[
    str, AfterValidator(_pattern(r"\w.&|*\[\](),:=!+-", "write features as for sbatch: nvlink, a100&nvlink, a100|h100"))
]
"""Features of nodes, as `sbatch --constraint` takes them."""

_Nodes = Annotated[str, AfterValidator(_pattern(r"\w.\[\],-", "write names of nodes: gpu07, or gpu[07-09]"))]
NodeNames = Annotated[tuple[_Nodes, ...], BeforeValidator(_listed)]
"""Nodes, each by its name or several as `gpu[07-09]`."""

Address = Annotated[str, AfterValidator(_pattern(r"\w.@+=,%-", "write an address such as name@lab.org"))]
"""Whom Slurm writes to."""

MailEvents = Annotated[
    tuple[Annotated[str, AfterValidator(_known_mail)], ...], BeforeValidator(_upper), Field(min_length=1)
]
"""When Slurm writes."""

OptionWords = Annotated[tuple[Annotated[str, AfterValidator(_option)], ...], BeforeValidator(_listed)]
"""Options of sbatch, each one word."""

ShellLines = Annotated[tuple[str, ...], BeforeValidator(_lines), AfterValidator(_runs)]
"""Lines of bash, as a list or a text of several lines."""

Image = Annotated[
    str,
    BeforeValidator(_image_from_here),
    AfterValidator(_pattern(r"\w./:@+=,-", "write a path or an address such as docker://name, without blanks")),
]
"""An image of Apptainer."""

Currency = Annotated[str, Field(max_length=12), AfterValidator(_plain)]
"""A currency, as the plan writes it."""
