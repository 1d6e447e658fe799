"""Resolve a study and plan its runs: python scripts/plan.py --configfile config.yaml

Writes results/<study>/study.json (what every other script reads), plan.csv and plan.md. Starts no job.
"""

import json
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.cluster.site import read_site, shipped_site
from vlmfrontier.errors import UserError
from vlmfrontier.made import note
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.plan import assumptions, stage_1, summary, sweep_totals, write_plan
from vlmfrontier.sweep.resources import uncounted
from vlmfrontier.sweep.status import REFUSED


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[Path("config.yaml")], help="later files change earlier ones"
    )
    parser.add_argument("--set", default="{}", metavar="JSON", help='changes on top: \'{"finetune": {"epochs": 2}}\'')
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all studies")
    parser.add_argument(
        "--site", type=Path, default=shipped_site(__file__), help="cluster that GPUs and hours are counted for"
    )
    given = parser.parse_args()
    site = read_site(given.site)
    try:
        overrides = json.loads(given.set)
    except json.JSONDecodeError as error:
        raise UserError(f"--set {given.set!r} is not JSON: {error}") from None
    study = load_study(given.configfile, overrides)
    folder = given.results / study.study
    write_study(study, folder / "study.json")
    plan = write_plan(study, folder, site)
    note(study, ResultsFolder(folder), "plan.csv")
    print(f"study {study.study}: {summary(plan, uncounted(study, folder))} → {folder / 'plan.md'}")
    for table in (sweep_totals(plan), stage_1(study, site, folder)):
        if not table.empty:
            print(table.to_string(index=False))
    for sentence in assumptions(study, site, folder):
        print(f"assumed: {sentence}")
    for run, reason in plan.loc[plan.status == REFUSED, ["run", "reason"]].itertuples(index=False):
        print(f"refused: {run}: {reason}")


if __name__ == "__main__":
    command_line.run(main)
