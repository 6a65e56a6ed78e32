"""`python -m graphnas` is the command line."""

from graphnas.cli import main

if __name__ == "__main__":
    main()
