"""Where a clip lies: a path on this machine, a URL, or a member of a tar shard.

    clips/a.wav    s3://bucket/clips/a.wav    https://host/a.wav    s3://bucket/shard-000.tar!/clips/a.wav

A `Path` is always a file of this machine. A text may be any address: so a name that a stranger chose, such as that of
an upload, is never taken for a URL as long as it is passed on as a `Path`.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

Address = Path | str  # a text only where `is_remote`

SCHEMES = ("s3", "gs", "az", "https", "http")
# fmt: off
AUDIO_ENDINGS = frozenset((
    ".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".gsm", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus",
    ".w64", ".wav", ".webm", ".wma",
))
# fmt: on
SHARD_ENDINGS = (".tar", ".tar.gz", ".tgz")
MEMBER = "!/"  # between a shard and the name of what is in it
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_SHARD = re.compile(rf"(.*?(?:{'|'.join(map(re.escape, SHARD_ENDINGS))})(?:\?[^!]*)?)!/(.+)", re.DOTALL | re.IGNORECASE)
_SECRET = re.compile(r"sig|token|key|secret|cred|passw|auth|access|jwt|session", re.IGNORECASE)
LONGEST = 8192  # characters of the address of a member
LONGEST_SHOWN = 40  # characters of what a query gives: signatures are longer


def is_remote(address: str | Path) -> bool:
    """Whether it is a URL, or a member of a shard: what must be fetched before a decoder can open it."""
    return isinstance(address, str) and bool(_URL.match(address) or shard_and_member(address))


def placed(address: str | Path) -> Address:
    """A path as a `Path`, any other address as it is."""
    return address if isinstance(address, str) and is_remote(address) else Path(address)


def scheme(address: str | Path) -> str | None:
    """Of a URL, in small letters; None of a path."""
    url = _URL.match(address) if isinstance(address, str) else None
    return url[1].lower() if url else None


def shard_and_member(address: str | Path) -> tuple[str, str] | None:
    """Of a member its shard's address and its name in there; None of anything else."""
    member = _SHARD.fullmatch(address) if isinstance(address, str) and len(address) <= LONGEST else None
    return (member[1], member[2]) if member else None


def member_address(shard: str | Path, name: str) -> str:
    """Where a member of a shard lies."""
    return f"{shard}{MEMBER}{name}"


def without_query(address: str | Path) -> str:
    """Of a web server's URL what stands before its `?`; any other address as it is."""
    text = str(address)
    return text.partition("?")[0] if scheme(address) in ("http", "https") else text


def ending(address: str | Path) -> str:
    """The ending of the name, with its dot, in small letters; "" where it has none."""
    name = without_query(address).rpartition("/")[2].lower()
    return next((e for e in SHARD_ENDINGS if name.endswith(e)), Path(name).suffix)


def shown(address: str | Path) -> str:
    """The address as it stands in answers and errors: without a user's name, a password, or what signs a URL."""
    text = str(address)
    if scheme(address) is None:
        return text
    head, _, rest = text.partition("://")
    place, slash, path = rest.partition("/")
    text = f"{head}://{place.rpartition('@')[2]}{slash}{path}"
    if scheme(text) not in ("http", "https"):
        return text
    before, mark, query = text.partition("?")
    query, member, name = query.partition(MEMBER)
    pairs = parse_qsl(query, keep_blank_values=True)
    told = "&".join(f"{key}={'…' if _SECRET.search(key) or len(v) > LONGEST_SHOWN else v}" for key, v in pairs)
    return f"{before}{mark}{told}{member}{name}"
