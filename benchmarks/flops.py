"""Parameters and inference FLOPs of the paper's models, counted operation by operation, against Eq. 1.

    python benchmarks/flops.py                                       five settings of Table 6, as in docs/cost.md
    python benchmarks/flops.py --setting 8B,32,196 --setting 1B,2,9  others: language model, T, V
    python benchmarks/flops.py --configfile workflow/studies/example-qwen.yaml --vision base --setting 3B,16,100

Models of real size are built on the meta device, where operations are counted and nothing is computed or kept.
"""

import argparse
from pathlib import Path

from tabulate import tabulate

from vlmfrontier.cost.flops import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, language_cost, vision_cost
from vlmfrontier.models.build import count_flops, count_parameters, described_model, meta_model
from vlmfrontier.study.load import load_study
from vlmfrontier.study.models import ModelsConfig

PAPER = Path(__file__).parents[1] / "workflow/studies/paper.yaml"
SETTINGS = [("1B", 2, 196), ("1B", 32, 196), ("3B", 32, 196), ("8B", 32, 4), ("8B", 32, 196)]


def parameters(models: ModelsConfig, vision: str) -> list[dict]:
    """Return the parameters of each language model with its tower, counted on the built models."""
    rows = []
    for name, language in models.language.items():
        counts = count_parameters(meta_model(models, name, 1, vision))
        rows.append({"language model": name, **{part: f"{n:,}" for part, n in counts.items()}, "N stated": language.N})
    return rows


def against_eq_1(models: ModelsConfig, vision: str, name: str, T: int, V: int) -> dict:
    """Return counted TFLOPs of one video by part, as multiples of the terms of Eq. 1 with the paper's constants."""
    counted = count_flops(described_model(models, name, V, vision), T, text_tokens=0)
    seen = float(vision_cost(T, PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES))
    read = float(language_cost(models.language[name].N, T, V))
    total = sum(counted.values())
    return {
        "(N, T, V)": f"({name}, {T}, {V})",
        **{part: f"{flops / 1e12:.3f}" for part, flops in counted.items()},
        "total": f"{total / 1e12:.2f}",
        "Eq. 1": f"{(seen + read) / 1e12:.2f}",
        "vision / M·W": f"{counted['vision'] / seen:.3f}",
        "language / N·V": f"{counted['language'] / read:.3f}",
        "total / Eq. 1": f"{total / (seen + read):.3f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, default=PAPER)
    parser.add_argument("--vision", default="", help="name of the vision model, where there are several")
    parser.add_argument("--setting", action="append", metavar="N,T,V")
    given = parser.parse_args()
    models = load_study([given.configfile]).models
    settings = SETTINGS
    if given.setting:
        settings = [(n, int(t), int(v)) for n, t, v in (text.split(",") for text in given.setting)]
    print(tabulate(parameters(models, given.vision), headers="keys", tablefmt="github"), end="\n\n")
    rows = [against_eq_1(models, given.vision, *setting) for setting in settings]
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
