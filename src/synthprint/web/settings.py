"""What a service is started with, checked once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from synthprint.background import processors
from synthprint.errors import ServingError

MB, GB = 10**6, 10**9
LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True)
class ServiceSettings:
    """How a service runs, and what it takes from a client.

    Attributes:
        folder: of its state: cases, jobs, galleries, tokens, the audit log.
        host: address that it listens on.
        port: that it listens on; 0: a free one.
        gallery: folder of the gallery that is called "default"; None: the one that comes with synthprint.
        model: folder of a checkpoint; None: the one that comes with synthprint.
        workers: child processes that decode, and clips that are embedded at once; 0: one per core.
        memory_bytes: that a child process may take to decode.
        decode_seconds: that it may take for a file.
        most_upload_bytes: of a file.
        most_files: of a request.
        most_total_bytes: of a request.
        most_job_files, most_job_bytes: the same of a job.
        least_free_bytes: of the disk that `folder` is on; where it has less, nothing is taken in.
        most_json_bytes: of a request that is no upload.
        upload_seconds: in which a request must have come in, where it is small.
        least_bytes_s: bytes a second from which on a larger one may take longer than that.
        stall_seconds: for which a client may send nothing.
        queue: requests that wait while all threads are busy; one more is refused.
        retention_h: hours after which what was uploaded is deleted, if it still lies there.
        allowed_hosts: further names that the service is called by, such as that of a proxy before it.
        require_tokens: whether a client needs a token even where none was made.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    gallery: Path | None = None
    model: Path | None = None
    workers: int = 0
    memory_bytes: int = 2 * GB
    decode_seconds: float = 120.0
    most_upload_bytes: int = 200 * MB
    most_files: int = 1000
    most_total_bytes: int = 2 * GB
    most_job_files: int = 20_000
    most_job_bytes: int = 20 * GB
    least_free_bytes: int = 1 * GB
    most_json_bytes: int = 1 * MB
    upload_seconds: float = 60.0
    least_bytes_s: float = 50_000.0
    stall_seconds: float = 20.0
    queue: int = 64
    retention_h: float = 24.0
    allowed_hosts: tuple[str, ...] = ()
    require_tokens: bool = False

    def __post_init__(self) -> None:
        if not self.workers:
            object.__setattr__(self, "workers", processors())
        least = {"workers": 1, "queue": 0, "port": 0, "most_files": 1, "most_upload_bytes": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ServingError(f"{name} must be at least {bound}, not {getattr(self, name)}", parameter=name)
        positive = ("memory_bytes", "decode_seconds", "upload_seconds", "stall_seconds", "retention_h", "least_bytes_s")
        for name in positive:
            if not 0 < getattr(self, name) < float("inf"):
                raise ServingError(f"{name} must be more than 0, not {getattr(self, name)}", parameter=name)

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def tokens(self) -> Path:
        """The file of the tokens."""
        return self.folder / "tokens.json"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.folder / "audit.jsonl"

    @property
    def uploads(self) -> Path:
        """The folder in which requests are received; what lies there belongs to a request that is being answered."""
        return self.folder / "uploads"
