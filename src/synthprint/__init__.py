"""synthprint: which text-to-speech system made this clip, is it one we know, and are these two from the same?"""

__version__ = "0.1.0"
