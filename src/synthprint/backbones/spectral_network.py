"""A small convolutional network on the spectrum and its phase, trained from the first layer on.

A trained one can stand beside the heads of `spectral_statistics` as its `network`.
"""

from synthprint.layers.spectral_convolutions import SpectralConvolutions

__all__ = ["SpectralNetwork"]


class SpectralNetwork(SpectralConvolutions):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised; see `layers.spectral_convolutions`."""
