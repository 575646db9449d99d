"""`python -m paretodet` is the command line."""

from paretodet.cli import main

if __name__ == "__main__":
    main()
