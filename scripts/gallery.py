"""Show figures in the documentation: python scripts/gallery.py --study results/{digits,chinchilla}/study.json

Writes docs/images/<study>-<figure>.png, small, of every figure that the studies have, and docs/figures.md, which shows
them with their captions and the commands that draw them.
"""

import argparse
from pathlib import Path

from PIL import Image

from vlmfrontier import command_line
from vlmfrontier.figures.catalogue import CATALOGUE, Outline, caption, drawn
from vlmfrontier.results import Results

DOCS = Path(__file__).resolve().parents[1] / "docs"
LARGEST = 80_000
"""Bytes of one image."""
MOST, FEWEST = 224, 64
"""Colours: with few of them thin lines over a surface lose theirs."""
INTRODUCTION = """\
# Figures

`snakemake figures` draws every figure that applies to a study into `results/<study>/figures/`: PNG, SVG, and as CSV
the numbers that they show, the same bytes again for the same results. Each has its own rule: `snakemake figure_isoflop`
draws one, and what it needs. Figures that do not apply to a study, such as those that compare tasks where there is one,
are left out, and the report says why. By hand, for any target:

```
python scripts/figures.py --study results/digits/study.json --figure isoflop star --target order
```

Colours are told apart with every common colour blindness. An own table's axes are called after its columns.
`python scripts/gallery.py --study results/{digits,chinchilla}/study.json` makes this page.
"""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser, nargs="+")
    given: argparse.Namespace = parser.parse_args()
    parts = [INTRODUCTION]
    for file in given.study:
        results = Results.open(file)
        parts += [f"## The {results.study.study} study\n"]
        names = drawn(Outline.of(results.study, results.table))
        parts += [entry(results, name) for name in CATALOGUE if name in names]
    (DOCS / "figures.md").write_text("\n".join(parts))
    print(f"→ {DOCS / 'figures.md'}")


def entry(results: Results, name: str) -> str:
    """Return a figure's part of the page, after making its small image."""
    study = results.study.study
    small = DOCS / "images" / f"{study}-{name}.png"
    shrink(results.figure(name), small)
    config = "" if study == "digits" else f" --configfile=workflow/studies/{study}.yaml"
    text = caption(name, results.study, results.main_target)
    command = f"snakemake{config} figure_{name.replace('-', '_')}"
    return f"### {name}\n\n![{text}](images/{small.name})\n\n{text}\n\n`{command}`\n"


def shrink(picture: Path, small: Path) -> None:
    """Write a picture at the largest scale at which it stays below `LARGEST` bytes."""
    whole = Image.open(picture).convert("RGB")
    for share, colors in ((0.75, MOST), (0.6, MOST), (0.5, MOST), (0.42, MOST), (0.42, FEWEST), (0.36, FEWEST)):
        image = whole.resize((round(whole.width * share), round(whole.height * share)), Image.Resampling.LANCZOS)
        few = image.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(small, optimize=True)
        if small.stat().st_size < LARGEST:
            return


if __name__ == "__main__":
    command_line.run(main)
