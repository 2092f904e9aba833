"""What is wrong with a manifest, and how easily its sources are guessed without listening."""
