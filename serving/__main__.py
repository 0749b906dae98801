"""`python -m serving PATH` was the command line until version 0.1; it says what took its place."""

import shlex
import sys

if __name__ == "__main__":
    print(f"The command line has moved: genre-classifier {shlex.join(sys.argv[1:])}".rstrip(), file=sys.stderr)
    sys.exit(2)
