"""Tables as people have them: delimited text, read as cells of text (`delimited`) and these as numbers (`numerals`)."""
