"""Figures of a study: `catalogue` lists them and names the module that draws each, `drawing` draws one by its name."""
