"""What a study found, for readers: a report as a page, an explorer to play with, captions, and the last lines of a run.

Nothing is computed anew here that the laws and the frontier have not said; what a study lacks is said in its place.
"""
