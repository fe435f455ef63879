"""`python -m sigmax` is the command `sigmax`."""

from .cli import main

if __name__ == "__main__":
    main()
