"""The names of genres as players and their users write them."""

from string import capwords

NAMES = {"hiphop": "Hip-Hop"}


def display_name(label: str) -> str:
    """A label as players write it: hiphop as Hip-Hop, rock as Rock; one that has capitals stays as it is."""
    return NAMES.get(label, capwords(label) if label.islower() else label)
