"""synthprint: which text-to-speech system made this clip, is it one we know, and are these two from the same?

from synthprint import Tracer
Tracer.load().trace("clip.wav")
"""

from synthprint.errors import SynthprintError as SynthprintError
from synthprint.tracing.gallery import Gallery as Gallery
from synthprint.tracing.tracer import Tracer as Tracer
from synthprint.types import Embeddings as Embeddings
from synthprint.types import Manifest as Manifest
from synthprint.types import Scores as Scores
from synthprint.types import Trials as Trials
from synthprint.types import Utterance as Utterance

__version__ = "0.1.0"
__all__ = ["Embeddings", "Gallery", "Manifest", "Scores", "SynthprintError", "Tracer", "Trials", "Utterance"]
