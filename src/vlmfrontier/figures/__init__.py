"""Figures of a study: `catalogue` lists them and names the module that draws each, `drawing` draws one by its name.

Their colours stand here, for the explorer too, which has no need of matplotlib.
"""

# Okabe and Ito's palette, told apart with every common colour blindness; black is left for measured points.
CATEGORIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#F0E442")

SEQUENCE = (
    *("#471365", "#482878", "#443b84", "#3d4e8a", "#355f8d", "#2e6f8e", "#277e8e"),
    *("#228d8d", "#1e9c89", "#25ab82", "#38b977", "#56c667", "#7ad151"),
)
"""The colours of `style.sequence`, dark to bright, for a page to choose from."""
