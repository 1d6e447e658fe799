"""From a finetuning sweep of video language models to the inference compute-optimal frontier.

The rooms, in the order in which a video becomes a frontier: `study` (what is asked), `sweep` (which runs) and `cost`;
`data`, `models`, `training`, `evaluation`, the half that needs torch; and `laws`, `frontier`, `figures`, the half that
starts at a table of results and needs none.
"""
