"""The workflow with trainings and tests replaced, for what concerns Slurm alone: jobs wait at a gate, copy results.

Snakemake, Slurm and all else of the product are real: so many jobs of a few tenths of a second can be told apart, held,
ended and counted that would take hours if they trained.
"""

import json
import shutil
from pathlib import Path

from tests.calling import ROOT, SMOKE
from vlmfrontier.study.load import read_with_base, validate
from vlmfrontier.sweep.runs import plan_runs

BODY = '''"""Stands for scripts/{name}: waits while its gate is shut, then copies what the undisturbed study made."""

import json, os, shutil, time
from pathlib import Path

from vlmfrontier import jobs
from vlmfrontier.cluster.job import force_argument, layout_arguments

STEERED, UNDISTURBED = Path({steered!r}), Path({undisturbed!r})


def arguments(parser):
    parser.add_argument("--run", required=True)
    if "{stage}" == "finetune":
        force_argument(parser)
        layout_arguments(parser)


def main(given):
    job, gates = os.environ["SLURM_JOB_ID"], [STEERED / "shut" / name for name in ("all", given.run, "{name}")]
    with (STEERED / "ran.jsonl").open("a") as file:
        print(json.dumps([given.run, "{name}", job, os.getpid()]), file=file)
    while any(gate.exists() for gate in gates):
        time.sleep(0.1)
    made = given.study.parent / "runs" / given.run / "{made}"
    shutil.copyfile(UNDISTURBED / "runs" / given.run / made.name, made.with_suffix(".part"))
    made.with_suffix(".part").replace(made)


jobs._prepare = lambda *_: None  # nothing needs torch here
jobs.run_job(__doc__, main, arguments, stage="{stage}")
'''
STAGES = {"finetune": "finetuned.json", "evaluate": "result.json"}


class Bodies:
    """A checkout whose runs end as those of an undisturbed study did, steered by files in `folder`."""

    def __init__(self, folder: Path, undisturbed: Path):
        self.folder, self.checkout, self._undisturbed = folder, folder / "checkout", undisturbed
        for name in ("shut", "checkout/scripts"):
            (folder / name).mkdir(parents=True)
        for path in (*ROOT.iterdir(), *(ROOT / "scripts").iterdir()):
            if path.name not in ("scripts", "results", "tests") and not path.name.startswith("."):
                (self.checkout / path.relative_to(ROOT)).symlink_to(path)
        for stage, made in STAGES.items():
            script = self.checkout / "scripts" / f"{stage}.py"
            script.unlink()
            words = {"steered": str(folder), "undisturbed": str(undisturbed), "stage": stage, "made": made}
            script.write_text(BODY.format(name=f"{stage}.py", **words))

    def prepare(self, folder: Path, runs: int) -> dict:
        """Put the data of the undisturbed study into `folder`; return its study, reduced to its first `runs`."""
        data = folder / "results" / self._undisturbed.name / "data"
        shutil.copytree(self._undisturbed / "data", data)
        planned = plan_runs(validate(read_with_base(SMOKE)))
        rows = [{"N": run.language, "T": run.T, "V": run.V, "n": run.n, "seed": run.seed} for run in planned[:runs]]
        designs = {"star": None, "isoflop": None, "repeats": None, "picked": {"design": "rows", "rows": rows}}
        return {"base": str(SMOKE), "sweep": {"designs": designs}}

    def shut(self, name: str = "all") -> None:
        """Let jobs wait: of a run, of a script, or all."""
        (self.folder / "shut" / name).touch()

    def open(self, name: str = "all") -> None:
        """Let the jobs go on that wait for this gate."""
        (self.folder / "shut" / name).unlink(missing_ok=True)

    def ran(self) -> list[tuple[str, str, str, int]]:
        """Return run, script, Slurm job and process of every attempt, in the order in which they began."""
        file = self.folder / "ran.jsonl"
        return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
