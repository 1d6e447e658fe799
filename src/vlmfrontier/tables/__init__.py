"""Tables as people have them: delimited text, read as cells of text (`delimited`), these as numbers (`values`,
`columns`), and formulas and conditions over their columns (`expressions`); and the tables that people get (`writing`).
"""
