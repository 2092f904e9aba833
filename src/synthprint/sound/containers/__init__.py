"""An open file in, its `Layout` out: which bytes are audio, and whether the headers say so. A format is a module.

`layout` walks a file from its first byte to its last with the walkers of the formats: `chunks` (WAV, AIFF, AU), `flac`,
`mp4`, `mpeg` (of `mpeg_frames`), `ogg`. `tags` stand between; `parts` are what they all speak of.
"""
