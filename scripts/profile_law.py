"""Profile likelihoods of a law: python scripts/profile_law.py --study results/digits/study.json --target avg

Writes laws/<target>/profile.csv: for each parameter of the chosen form (or of --form), values around the fit and how
much worse the best fit with the parameter held there is. delta_chi2 below 1 means that the data do not tell that value
from the fit; below 0, that holding it there led to a better fit than the law's own search.
"""

from vlmfrontier import command_line
from vlmfrontier.laws.profile import profiles
from vlmfrontier.progress import Progress
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_csv


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--target", required=True)
    parser.add_argument("--form", help="default: the form that was chosen")
    parser.add_argument("--parameters", nargs="+", help="default: all that have not vanished")
    parser.add_argument("--points", type=int, default=13, help="values per parameter")
    parser.add_argument("--threads", type=int, help="default: all cores")
    given = parser.parse_args()
    results = Results.open(given.study)
    table, law = results.table, results.law(given.target, given.form)
    parameters = given.parameters or [name for name, value in law.parameters.items() if value != 0]
    progress = Progress(f"profile {law.form.name} of {given.target}", len(parameters))
    found = profiles(table, law, parameters, results.study.laws, given.points, given.threads, progress)
    progress.done()
    path = write_csv(found, results.laws_folder(given.target).profile)
    results.note(path)
    for name, rows in found.groupby("parameter", sort=False):
        inside = rows.value[rows.delta_chi2 < max(0, found.delta_chi2.min()) + 1]
        print(f"{name}: {law.parameters[name]:.4g}; {inside.min():.4g} to {inside.max():.4g} fit as well")
    print(f"profiles are in {path}")


if __name__ == "__main__":
    command_line.run(main)
