"""Ask what to deploy: python scripts/query.py --study digits --budget 100M --examples 500 [--target order] [--json]

--study takes a study's name or its study.json, as in every script. Budget and examples take human units: 10T, 250k.
Prints the recommended configuration with its predicted error and how sure it is, the next best ones, what twice the
budget or the data would buy, the nearest runs, and a warning where the answer lies outside the runs.
"""

import json
from dataclasses import replace

from vlmfrontier import command_line
from vlmfrontier.frontier.answers import answer, text
from vlmfrontier.results import Results
from vlmfrontier.units import parse_number


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--budget", required=True, help="cost per video that may be spent, for example 100M")
    parser.add_argument("--examples", help="finetuning examples at hand, for example 500")
    parser.add_argument("--target", "--task", help="what to optimise for (default: avg, or the first target)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    given = parser.parse_args()
    results = Results.open(given.study)
    examples = None if given.examples is None else parse_number(given.examples)
    target = results.target(given.target or results.main_target)
    found = answer(target, results.runs, parse_number(given.budget), examples, results.config.near)
    found = replace(found, warnings=(*found.warnings, *results.caveats(target.name)))
    print(json.dumps(found.record(), indent=2) if given.json else text(found))


if __name__ == "__main__":
    command_line.run(main)
