"""From designs to runs: which configurations are trained, what each is called and costs, and what is done already."""
