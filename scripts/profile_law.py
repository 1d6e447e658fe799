"""Profile likelihoods of a law: python scripts/profile_law.py --study results/digits/study.json --target avg --form add

Writes laws/<target>/<form>.profile.csv: for each parameter, values around the fit and how much worse the best fit with
the parameter held there is. delta_chi2 below 1 means that the data do not tell that value from the fit.
"""

import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.profile import profile
from vlmfrontier.laws.table import load_results
from vlmfrontier.study.load import read_study


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--target", required=True)
    parser.add_argument("--form", required=True)
    parser.add_argument("--parameters", nargs="+", help="default: all that have not vanished")
    parser.add_argument("--points", type=int, default=21, help="values per parameter")
    parser.add_argument("--threads", type=int, help="default: all cores")
    given = parser.parse_args()
    study, results = read_study(given.study), given.study.parent
    folder, table = results / "laws" / given.target, load_results(study, results)
    law = LawFit.load(folder / f"{given.form}.json")
    parameters = given.parameters or [name for name, value in law.parameters.items() if value != 0]
    profiles = {name: profile(table, law, name, study.laws, given.points, given.threads) for name in parameters}
    path = folder / f"{given.form}.profile.csv"
    pd.concat(profiles, names=["parameter"]).reset_index("parameter").to_csv(path, index=False)
    for name, found in profiles.items():
        inside = found[found.delta_chi2 < 1].value
        print(f"{name}: {law.parameters[name]:.4g}; {inside.min():.4g} to {inside.max():.4g} fit as well")
    print(f"profiles are in {path}")


if __name__ == "__main__":
    command_line.run(main)
