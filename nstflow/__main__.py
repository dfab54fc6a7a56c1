"""`python -m nstflow`."""

from nstflow.cli import main

if __name__ == "__main__":
    main()
