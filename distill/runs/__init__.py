"""Runs: settings in parts, the objects that they mean, the main job, and the folder that it writes.

May import every room to its left. SETTINGS is the table of what can be distilled: kind of data -> settings.
Strings become objects in build.py and starts/; strings and files end here.
"""

from distill.registry import Entry

SETTINGS = {
    "image": Entry("distill.runs.settings:ImageSettings", "an image data set"),
    "text": Entry("distill.runs.settings:TextSettings", "a text data set"),
}
