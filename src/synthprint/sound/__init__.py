"""Any file in, 16 kHz mono float32 out; `audio` is the door: `audio.load(path)`.

The way of a file, a module for each step:

    containers/  how its bytes are laid out: which of them are audio, and whether its headers say so
    tracks       opened: its tracks, each read to its true end (`foreign` and `av_decoder` where libsndfile cannot,
                 `quiet` while a C library decodes)
    channels     from several channels to one, without an offset
    decoding     all of that at once: a file -> `Sound`, a wave with remarks
    waves        the wave [T]: crops, windows, and long ones that lie in a file
    isolation    all of that in child processes with limits: `decoding_worker` is this process's side of one,
                 `decoding_child` the other, `conversation` what they say, `confinement` the limits

What is measured of a wave: `traits`, `conditions`. What is done to one: `augmentation`, `degradations`, `coding`.
`processes` runs the programs that speak, for the engines.
"""
