"""How answers get worse as clips do."""
