"""A folder for beets' option `pluginpath`. beets puts it on Python's path, so only the plugin is in it."""

from pathlib import Path

PLUGIN_PATH = Path(__file__).parent
