"""The layout of any file: which walkers know what stands in it, from its first bytes to its last."""

from __future__ import annotations

from synthprint.sound.containers import chunks, flac, mp4, mpeg, ogg, tags
from synthprint.sound.containers.parts import FileBytes, IntricateFile, Layout, Stretch

INTRICATE = "has more structure than any audio: not all of it was looked at, and part of its audio may be left out"
MOST_STRETCHES = 1000
# Containers that no walker knows, and whose bytes must not be taken for MP3: by FFmpeg alone, or by libsndfile too.
FOREIGN = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"FLV", b"wvpk", b"TTA1", b"MAC ", b"#!AMR", b"\x0bw", b"\0\0\1\xba", b".RMF")
OTHERS = (*FOREIGN, b"caff", b"riff", b"RIFF", b"FORM", b"DSD ", b"MPCK", b"MP+", b"tBaK", b"nut/", b"Creative Voice")
ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot", b"moof", b"styp")


def layout(data: FileBytes) -> Layout:
    """The parts of a file, and what is odd about it; one part and nothing odd, where no walker knows it."""
    try:
        return _laid_out(data)
    except IntricateFile:
        return Layout((), (INTRICATE,))


def _laid_out(data: FileBytes) -> Layout:
    stretches: list[Stretch] = []
    place = 0
    while place < data.size and (stretch := _walked(data, place)):
        stretches.append(stretch)
        place = stretch.end
        if len(stretches) > MOST_STRETCHES:
            raise IntricateFile
    if not stretches:
        head = data.at(0, 8)
        return Layout(foreign=head.startswith(FOREIGN) or head[4:] in ATOMS)
    remarks = dict.fromkeys(remark for stretch in stretches for remark in stretch.remarks)
    left_over = data.size - tags.behind_tags(data, place)
    if left_over >= chunks.LEAST_LEFT_OVER:
        remarks[f"has {left_over:,} bytes behind its end that are of no audio: they were left out"] = None
    parts = tuple(part for stretch in stretches for part in stretch.parts)
    if len(parts) == 1 and not parts[0].patches and not parts[0].prefix:
        return Layout((), tuple(remarks), foreign=parts[0].foreign)
    return Layout(parts, tuple(remarks), _joined(stretches))


def _joined(stretches: list[Stretch]) -> str:
    files = sum(stretch.files for stretch in stretches)
    kinds = list(dict.fromkeys(stretch.kind for stretch in stretches))
    what = f"{files} {kinds[0]} streams" if len(kinds) == 1 else f"{files} files ({', '.join(kinds)})"
    return f"is {what}, one after the other" if files > 1 else ""


def _walked(data: FileBytes, start: int) -> Stretch | None:
    """What begins at `start`, perhaps behind a tag; None where no walker knows it."""
    place = tags.tag_end(data, start)
    head = data.at(place, 16)
    if form := chunks.form_at(data, place):
        return chunks.walk(data, start, place, form, _begins_at)
    if head[:4] == b".snd" and not start:
        return chunks.au(data)
    if head[:4] == ogg.PAGE:
        return ogg.walk(data, start, place, _begins_at)
    if head[:4] == flac.MARK:
        return flac.walk(data, start, place)
    return mp4.walk(data, start) if mp4.begins(data, start) else _frames(data, start, place, head)


def _frames(data: FileBytes, start: int, place: int, head: bytes) -> Stretch | None:
    """MPEG frames, unless these are the first bytes of another container, in which some may stand too."""
    transport = head[:1] == b"G" and data.at(place + 188, 1) == b"G"
    if head.startswith(OTHERS) or head[4:8] in ATOMS or transport:
        return None
    return mpeg.walk(data, start, place, _begins_at)


def _begins_at(data: FileBytes, place: int) -> bool:
    """Whether another file begins at `place`."""
    head = data.at(place, 8)
    named = head[:4] == ogg.PAGE or (head[:4] == flac.MARK and head[4:] in flac.STREAM_INFO)
    return named or bool(chunks.form_at(data, place)) or mp4.begins(data, place) or mpeg.begins(data, place)
