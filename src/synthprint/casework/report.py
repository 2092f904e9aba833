"""A case from clips to a page: what `synthprint.report` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from synthprint import files
from synthprint.casework.case import Case, examine, examine_folder
from synthprint.casework.case_contents import Question
from synthprint.casework.case_folder import CaseFolder, case_in
from synthprint.casework.report_page import report_page
from synthprint.errors import CaseError, OutputError
from synthprint.gallery.gallery import Gallery
from synthprint.model.model import Model
from synthprint.model.shipped import DEFAULT
from synthprint.sound.channels import AUTO
from synthprint.tracing.tracer import Tracer


def report(
    paths: Sequence[str | Path],
    out: str | Path,
    gallery: Gallery | str | Path | None = None,
    model: Model | str | Path | None = None,
    *,
    case: str = "",
    question: str = "",
    analyst: str = "",
    date: str = "",
    notes: str = "",
    record: str | Path | None = None,
    backend: str | None = None,
    threads: int | None = None,
    channel: str = AUTO,
    command: str | None = None,
) -> Case:
    """Examine clips and write a page that can be printed and repeated.

    Args:
        paths: files, or folders: all audio below them; or one folder that holds a case, whose texts are those of the
            case where they are not given here, and whose clips are shown by their names in it.
        out: the page to write: ends in .html.
        gallery, model: ones that are open, folders, or "default"; None: those that come with synthprint.
        case: what the case is called: the title.
        question: what was asked.
        analyst: who examined.
        date: as it is to stand there.
        notes: what else the analyst says.
        record: a file to write all of it to as well, as JSON.
        backend: a name on the backends shelf; by default the gallery's.
        threads: that embed, where the model is to be opened; by default all cores.
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        command: that makes the report again, as it is to stand there; by default this call.

    Returns:
        What the page says, with the clips that could not be examined.

    Raises:
        CaseError: the case is damaged, stands among other clips, or was examined with a gallery that must be named.
        CheckpointError, GalleryError: model or gallery are missing or damaged, or do not fit each other.
        EmbeddingsError: no clip is usable.
        OutputError: page or record cannot be written, which is said before a clip is read where it can be.
    """
    out, table = Path(out), Path(record) if record else None
    if out.suffix != ".html":
        raise OutputError(out, "its name must end in .html", "name such a file")
    for file in filter(None, (out, table)):
        files.check_place(file)
    asked = Question(case, question, analyst, date, notes)
    if command is None:
        options = {"gallery": gallery, "model": model, "case": case, "question": question, "analyst": analyst,
                   "date": date, "notes": notes, "backend": backend,
                   "channel": "" if channel == AUTO else channel}  # fmt: skip
        command = _call(paths, out, options)
    on_disk = _case_among(paths, gallery is not None)
    tracer = Tracer.load(gallery, model, backend, threads, channel)
    if on_disk:
        examined = examine_folder(tracer, on_disk, on_disk.contents.asked.overridden(asked), command)
    else:
        examined = examine(tracer, paths, asked, command)
    with files.atomic(out) as page:  # it takes its place when the other file has
        page.write_text(report_page(examined), encoding="utf-8", errors="backslashreplace")
        if table:
            files.write_json(table, examined.to_dict())
    return examined


def _case_among(paths: Sequence[str | Path], with_gallery: bool) -> CaseFolder | None:
    """The case that is to be reported; None where these are clips."""
    cases = [case for path in paths if (case := case_in(Path(path)))]
    if cases and len(paths) > 1:
        raise CaseError(f"{cases[0].folder}: is a case, which is reported by itself; leave the other paths out")
    if cases and not with_gallery and cases[0].contents.gallery != DEFAULT:
        raise CaseError(
            f"{cases[0].folder}: was examined with a gallery that is called {cases[0].contents.gallery!r}; name the "
            "folder of a gallery",
            parameter="gallery",
        )
    return cases[0] if cases else None


def _call(paths: Sequence[str | Path], out: Path, options: Mapping[str, object]) -> str:
    """The call of `report` as Python; what is open is named by its folder."""
    words = [repr(list(map(str, paths))), repr(str(out))]
    for name, value in options.items():
        folder = value.folder if isinstance(value, Model | Gallery) else value
        words += [f"{name}={str(folder)!r}"] if folder else []
    return f"synthprint.report({', '.join(words)})"
