"""Who calls a route, as its parameter: whoever may read, or enrol."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from synthprint.web.tokens import ENROL, READ, Caller, may

ReadingCaller = Annotated[Caller, Depends(may(READ))]
EnrollingCaller = Annotated[Caller, Depends(may(ENROL))]
