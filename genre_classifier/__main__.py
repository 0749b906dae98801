"""`python -m genre_classifier`: the command line, also installed as `genre-classifier`."""

from genre_classifier.cli.main import main

if __name__ == "__main__":
    main()
