"""What a store refuses is tried again where that may help, and told in words that hold nothing of a credential."""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from synthprint.addresses import scheme, shown
from synthprint.errors import StoreError, SynthprintError

T = TypeVar("T")

TRIES = {"http": 5, "https": 5}  # those of the other drivers are their own
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
PASSING = (408, 425, 429)  # of the answers from 400 to 499, what may be another the next time
REFUSED = re.compile("Credential|Auth|Profile|Permission|Token|Refresh|Forbidden")  # in the names of drivers' errors
CREDENTIALS = "may not be read: give its driver credentials in its own way (docs/remote.md)"
NOWHERE = "there is no such object"


def retried(address: str, call: Callable[[], T]) -> T:
    """What `call` gives; where it fails in passing, it is tried again, after a while that doubles each time.

    Raises:
        StoreError: it failed for good; the words are ours, for those of a driver may hold a signed URL.
    """
    for left in reversed(range(TRIES.get(scheme(address) or "", 1))):
        try:
            return call()
        except SynthprintError:
            raise
        except Exception as error:
            passing, reason = judged(error)
            if not (passing and left):
                raise StoreError(shown(address), reason) from None
        wait_s = FIRST_WAIT_S * 2 ** (TRIES[scheme(address) or ""] - 1 - left)
        time.sleep(min(LONGEST_WAIT_S, wait_s) * random.uniform(0.5, 1.0))
    raise AssertionError("unreachable")


def judged(error: BaseException) -> tuple[bool, str]:
    """Whether a driver's error may pass, and what it means, in words of ours."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause and _status(cause) not in (None, 404):  # fsspec says so of any
        error = cause
    status, name = _status(error), type(error).__name__
    if isinstance(error, FileNotFoundError) or status == 404:
        return False, NOWHERE
    if isinstance(error, PermissionError) or status in (401, 403) or REFUSED.search(name):
        return False, CREDENTIALS
    if status is not None:
        return status >= 500 or status in PASSING, f"the server answers {status} instead of the clip; try again later"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return False, no_room(error)
    return True, f"cannot be fetched ({name}); see whether the store can be reached, and try again"


def no_room(error: OSError) -> str:
    """What an error of the disk that copies lie on means, in words."""
    remedy = "make room in the folder for temporary files (TMPDIR names another)"
    return f"cannot be put aside while it is examined ({error.strerror}); {remedy}"


def _status(error: BaseException | None) -> int | None:
    """Of an HTTP answer that an error tells of, or what it came from, as the drivers keep it."""
    while error is not None:
        response = getattr(error, "response", None)
        held = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
        names = (name for name in ("status", "status_code", "code") if name in vars(error))
        value = held or getattr(error, next(names, ""), None)
        if isinstance(value, int) and 400 <= value < 600:
            return value
        error = error.__cause__
    return None
