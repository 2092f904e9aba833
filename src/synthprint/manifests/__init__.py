"""A path in, a `Manifest` out: any data set that a protocol recognises; and its audio, decoded once into a `Pack`."""
