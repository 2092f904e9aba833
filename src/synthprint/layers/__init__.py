"""Tensors in, tensors out: torch modules that backbones and losses are built of."""
