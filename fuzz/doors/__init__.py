"""The doors: each module here has `DOORS`, a tuple of `fuzz.door.Door`. A new door is an entry in one of them."""
