"""The command `vlmfrontier`, by stage: what people call, and rules. Each imports what it needs when it is called."""
