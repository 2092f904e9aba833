"""`python -m synthprint` is the command `synthprint`."""

from synthprint.cli import main

if __name__ == "__main__":
    main()
