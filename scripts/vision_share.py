"""Say how much of the inference is seeing: python scripts/vision_share.py --study results/digits/study.json

Writes results/<study>/tables/vision_share.csv, .md and .tex: the vision model's share of c(x) for every language model
and every number of tokens that could be deployed, at the frames that most runs have (the paper's Figure 6).
"""

from vlmfrontier import command_line
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_table


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    results = Results.open(parser.parse_args().study)
    table = results.vision_shares
    path = write_table(table, results.table_csv("vision_share"))
    results.note(path)
    print(f"vision model's share of c: {table.share.min():.0%} to {table.share.max():.0%} → {path}")


if __name__ == "__main__":
    command_line.run(main)
