"""Writes joblib files of pickled (file name, model) pairs on stdin; runs in an environment that has joblib."""

import pickle
import sys
from pathlib import Path

import joblib


def main(directory: Path) -> None:
    """Write each model to its file."""
    while True:
        try:
            name, model = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
