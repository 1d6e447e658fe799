"""`python -m vlmfrontier …`: the command where only the package is, as for jobs of a checkout."""

from vlmfrontier.command.main import main

if __name__ == "__main__":
    main()
