"""The laws of one target as the explorer's page is given them: resamples, and what their forms miss, as plain data."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmfrontier.frontier.pool import Ensemble, TargetLaws
from vlmfrontier.laws import discrepancy
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.forms import CEILING
from vlmfrontier.laws.transfer import GapDraws


def laws_data(laws: TargetLaws, ensemble: Ensemble) -> dict[str, Any]:
    """Return the models of one target that predict, vote and make the intervals.

    They are a list of parts, each some rows of a bag: `{"bag": "add", "rows": [0, 1]}`. `ensemble` is that of `laws`,
    over any configurations.
    """
    main = laws.bags[laws.main]
    needed = {form: int(rows.max()) + 1 for form, rows in laws.rows.items()}
    bags = {form: {**_form(laws.bags[form]), "theta": laws.bags[form].theta[:n].tolist()} for form, n in needed.items()}
    return {
        "units": [main.units[name] for name in main.form.factors],
        "dataUnit": main.data_unit,
        "bags": bags,
        "pool": [_part(form, rows) for form, rows in laws.rows.items()],
        "noise": ensemble.noise.tolist(),
        "widening": ensemble.widening.tolist(),
        "missed": None if laws.discrepancy is None else _missed(laws.discrepancy),
        "gap": None if laws.discrepancy is None or laws.discrepancy.gap is None else _gap(laws.discrepancy.gap, main),
    }


def _gap(gap: GapDraws, main: Bag) -> dict[str, Any]:
    """Return what each model takes off for training where it is deployed: the sum over `kinds` of a log ratio, or its
    bend over `span`, or 1, by `main` + `with` · place of each other factor + `n` · place of n, all R × kinds."""
    factors, columns = list(main.form.factors), gap.columns
    kinds, positions = gap.kinds, [position for _, position in gap.kinds]
    shares = {name: gap.gamma[:, columns.part(name)][:, positions].tolist() for name in columns.scales}
    others = [name for name in columns.scales if name in factors]
    return {
        "kinds": [
            {"factor": None, "top": None, "span": None}
            if kind.factor is None
            else {"factor": factors.index(kind.factor), "top": gap.place.levels[kind.factor], "span": kind.span}
            for kind, _ in kinds
        ],
        "places": [
            {"factor": factors.index(name), **dict(zip(("middle", "half"), columns.scales[name], strict=True))}
            for name in others
        ],
        "main": gap.gamma[:, positions].tolist(),
        "with": [shares[name] for name in others],
        "n": shares.get("n"),
    }


def _missed(found: discrepancy.Discrepancy) -> dict[str, Any]:
    """Return what the models' forms miss: the sines' box, and the weights of those models that miss anything."""
    rows = np.flatnonzero((found.level != 0).any(axis=1))
    return {
        "centre": found.basis.centre.tolist(),
        "half": found.basis.half.tolist(),
        "data": found.basis.data,
        "box": discrepancy.BOX,
        "reach": discrepancy.REACH,
        "waves": discrepancy.WAVES,
        "rows": rows.tolist(),
        "level": _float32(found.level[rows]),
        "slope": _float32(found.slope[rows]),
    }


def _float32(values: np.ndarray) -> str:
    """Return an array as the bytes of its numbers, row by row, in base 64: a fifth of what they take as text."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _part(bag: str, rows: Sequence[int]) -> dict[str, Any]:
    return {"bag": bag, "rows": [int(row) for row in rows]}


def _form(bag: Bag) -> dict[str, Any]:
    """Return a form's terms with places instead of names: of θ for parameters, of the factors for variables."""
    form = bag.form
    terms = [
        {
            "coefficient": form.index(term.coefficient),
            "data": term.depends_on_data,
            "powers": [
                {
                    "factor": form.factors.index(power.variable),
                    "exponent": form.index(power.exponent),
                    "sign": power.sign,
                }
                for power in term.powers
                if power.variable in form.factors
            ],
        }
        for term in form.terms
    ]
    return {
        "terms": terms,
        "d": -1 if form.data_exponent is None else form.index(form.data_exponent),
        "sharpness": form.sharpness,
        "ceiling": form.ceiling,
        "C": form.index(CEILING) if form.fits_ceiling else -1,
    }
