"""`synthprint serve`: a page for analysts and a service for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.options import GalleryOption, ModelOption
from synthprint.cli.renamed import Commands
from synthprint.cli.tables import say

if TYPE_CHECKING:
    from synthprint.web.settings import ServiceSettings

app = typer.Typer(cls=Commands, invoke_without_command=True)

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Folder: of cases, jobs, galleries, tokens and the audit log.",
        show_default="~/.local/share/synthprint",
    ),
]


@app.callback()
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Host: the address that it listens on; one beyond this machine needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port: that it listens on; 0: a free one.")] = 8765,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    folder: FolderOption = None,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers: how many clips are examined at once.", show_default="one per core"),
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Queue: requests that may wait; one more is refused.")] = 64,
    memory: Annotated[
        int, typer.Option(min=256, help="Memory: megabytes that a worker may take to decode a file.")
    ] = 2000,
    largest: Annotated[int, typer.Option(min=1, help="Largest: megabytes that an uploaded file may have.")] = 200,
    retention: Annotated[
        float, typer.Option(min=0.1, help="Retention: hours after which what was uploaded is deleted.")
    ] = 24.0,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", help="Allowed host: a further name that it is called by (may be repeated)."),
    ] = None,
) -> None:
    """Open the page in the browser, and answer programs, until Ctrl-C. Needs the extra serve."""
    # Long: its options.
    if context.invoked_subcommand:
        return
    settings = _settings(
        folder, host=host, port=port, gallery=gallery, model=model, workers=workers or 0, queue=queue,
        memory_bytes=memory * 10**6, most_upload_bytes=largest * 10**6, retention_h=retention,
        allowed_hosts=tuple(allowed_host or ()),
    )  # fmt: skip
    from synthprint.web.serving import serve as run

    run(settings, not no_browser, lambda address: say(f"synthprint listens on {address} (Ctrl-C ends it)"))


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Name: whose token it is; the audit log has it.")],
    role: Annotated[str, typer.Option(help="Role: read (examine), or enrol (also change galleries).")] = "read",
    remove: Annotated[bool, typer.Option("--remove", help="Take the token away.")] = False,
    folder: FolderOption = None,
) -> None:
    """Make a token, and print it once; or take one away."""
    settings = _settings(folder)
    from synthprint.web.tokens import Tokens

    tokens = Tokens(settings.tokens)
    if remove:
        tokens.remove(name)
        return
    say(tokens.add(name, role))
    say(f"It is shown this once: {settings.tokens} has its hash alone.", err=True)


@app.command()
def audit(folder: FolderOption = None) -> None:
    """Follow the chain of the audit log, from its first event to its last."""
    settings = _settings(folder)
    from synthprint.web.audit import verify

    found = verify(settings.audit)
    say(f"{settings.audit}: {found.events:,} events, none changed or taken out; the digest of the last is {found.last}")


def _settings(folder: Path | None, **given: Any) -> ServiceSettings:
    """The settings; an error where the extra is not installed."""
    from synthprint.web.serving import check_libraries, service_folder
    from synthprint.web.settings import ServiceSettings

    check_libraries()
    return ServiceSettings(folder or service_folder(), **given)
