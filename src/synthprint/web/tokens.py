"""Who may do what: tokens with a role, hashed at rest; sessions of a page; nobody else, where there are tokens.

A token is 256 random bits, so its SHA-256 alone tells nothing of it: a slow hash, as for passwords that people think
of, would protect nothing more. It is compared in constant time, and printed once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Request
from msgspec import Meta, Struct

from synthprint import files
from synthprint.errors import ServingError
from synthprint.reading import doors
from synthprint.reading.schemas import Sha256
from synthprint.web.problems import ServiceProblem

READ, ENROL = "read", "enrol"
ROLES: Mapping[str, frozenset[str]] = {READ: frozenset((READ,)), ENROL: frozenset((READ, ENROL))}
PREFIX = "synthprint_"  # by which a scanner of leaked secrets knows it
COOKIE = "synthprint_session"
SESSION_S = 12 * 3600
MOST_SESSIONS = 1000
REFUSALS_S = 10.0  # between two that are told
MAX_FILE_BYTES = 1 << 20
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
LOCAL = "local"


class StoredToken(Struct, forbid_unknown_fields=True):
    """A token as tokens.json has it."""

    name: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,39}\Z")]
    role: Annotated[str, Meta(pattern=r"\A(read|enrol)\Z")]
    sha256: Sha256
    created: Annotated[str, Meta(max_length=40)]


@dataclass(frozen=True)
class Caller:
    """Who calls: the name of the token, or "local" where none is needed, and the roles that go with it."""

    name: str
    roles: frozenset[str]


class Tokens:
    """The tokens of a service's folder; the file is read again when it was changed.

    Args:
        path: of the file.
        required: whether nobody is let in while there is none.
    """

    def __init__(self, path: Path, required: bool = False) -> None:
        self.path, self.required = path, required
        self._stamp: tuple[int, int] | None = None
        self._stored: list[StoredToken] = []
        self._sessions: dict[str, tuple[StoredToken, float]] = {}
        self._guard = threading.Lock()
        self._refused, self._told = 0, -REFUSALS_S

    def add(self, name: str, role: str) -> str:
        """Make a token; it is returned once, and stored as a hash.

        Raises:
            ServingError: the name will not do, is taken, or there is no such role.
        """
        if not NAME.fullmatch(name):
            raise ServingError(f"{name!r} is no name of a token: take small letters, digits, dots and hyphens")
        if role not in ROLES:
            raise ServingError(f"there is no role {role!r}; there are: {', '.join(ROLES)}", parameter="role")
        with files.locked(self.path.parent):
            stored = self.stored()
            if any(token.name == name for token in stored):
                raise ServingError(
                    f"{self.path}: there is a token {name!r} already; remove it first, or take another name"
                )
            token = PREFIX + secrets.token_urlsafe(32)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            self._write([*stored, StoredToken(name, role, _hashed(token), created)])
        return token

    def remove(self, name: str) -> None:
        """Take a token away; who holds it is refused from then on.

        Raises:
            ServingError: there is none of this name.
        """
        with files.locked(self.path.parent):
            stored = self.stored()
            left = [token for token in stored if token.name != name]
            if len(left) == len(stored):
                there = ", ".join(token.name for token in stored) or "none"
                raise ServingError(f"{self.path}: there is no token {name!r}; there are: {there}")
            self._write(left)

    def stored(self) -> list[StoredToken]:
        """All tokens, as they are now.

        Raises:
            ServingError: the file is damaged.
        """
        stamp = files.stamp(self.path)
        with self._guard:
            if stamp != self._stamp:
                self._stored = _read(self.path) if stamp else []
                self._stamp = stamp
            return list(self._stored)

    def open_session(self, token: str) -> str | None:
        """A session of whoever holds a token: what its cookie holds. None where the token is none."""
        held = self._holder(token)
        if held is None:
            return None
        session = secrets.token_urlsafe(32)
        with self._guard:
            if len(self._sessions) >= MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[_hashed(session)] = (held, time.monotonic() + SESSION_S)
        return session

    def count_refused(self) -> int:
        """Count one who was refused; how many they are since that was last told, or 0 where that was just now.

        Whoever has no token is to fill no log by asking again and again.
        """
        with self._guard:
            self._refused += 1
            if time.monotonic() < self._told + REFUSALS_S:
                return 0
            count, self._refused, self._told = self._refused, 0, time.monotonic()
        return count

    def close_session(self, session: str) -> None:
        """End a session."""
        with self._guard:
            self._sessions.pop(_hashed(session), None)

    def caller(self, authorization: str | None, session: str | None) -> Caller | None:
        """Who sends this header, or this cookie; None: nobody who is known."""
        stored = self.stored()
        if not stored and not self.required:
            return Caller(LOCAL, ROLES[ENROL])
        scheme, _, token = (authorization or "").partition(" ")
        held = self._holder(token.strip()) if scheme.lower() == "bearer" else self._visitor(session, stored)
        return Caller(held.name, ROLES[held.role]) if held else None

    def _holder(self, token: str) -> StoredToken | None:
        digest, holder = _hashed(token), None
        for stored in self.stored():  # all of them, so that the time tells nothing
            if hmac.compare_digest(stored.sha256, digest):
                holder = stored
        return holder

    def _visitor(self, session: str | None, stored: list[StoredToken]) -> StoredToken | None:
        with self._guard:
            held, until = self._sessions.get(_hashed(session or ""), (None, 0.0))
        return held if held in stored and time.monotonic() < until else None

    def _write(self, stored: list[StoredToken]) -> None:
        rows = [{name: getattr(token, name) for name in token.__struct_fields__} for token in stored]
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write_json(self.path, rows)
        self.path.chmod(0o600)


def may(role: str) -> Callable[[Request], Awaitable[Caller]]:
    """The dependency of a route that needs a role; it gives who calls.

    Raises:
        ServiceProblem: nobody who is known (401), or without that role (403).
    """

    async def caller(request: Request) -> Caller:  # in the loop: handing it to a thread would take longer
        tokens: Tokens = request.app.state.tokens
        who = tokens.caller(request.headers.get("authorization"), request.cookies.get(COOKIE))
        if who is None:
            words = "this service needs a token: send it as 'Authorization: Bearer …', or sign in on its page"
            raise ServiceProblem(401, words, headers={"WWW-Authenticate": "Bearer"})
        if role not in who.roles:
            raise ServiceProblem(403, f"the token {who.name!r} may not do this: it needs the role {role!r}")
        request.state.who = who.name
        return who

    return caller


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path) -> list[StoredToken]:
    with doors.ending_in(ServingError, path, "take it away and make the tokens anew"):
        return doors.read_json(path, list[StoredToken], MAX_FILE_BYTES, "file of tokens")
