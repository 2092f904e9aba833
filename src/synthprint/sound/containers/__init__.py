"""How the bytes of an audio file are laid out: which of them are audio, and whether its headers say so."""
