"""What a SQLite store can find wrong with itself and the place it lies in, for ``duly doctor``."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from duly.messages import Finding
from duly.store.sqlite.url import DURABILITY

_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "afs",
    "lustre", "beegfs", "fuse.s3fs", "fuse.rclone",
}  # fmt: skip
_VOLATILE = {"tmpfs", "ramfs"}
_LOW_SPACE = 1 << 30  # bytes
_NO_SPACE = 64 << 20
_LARGE_LOG = 256 << 20  # bytes; a log of this size is not being copied back into the file


def examine(
    db: sqlite3.Connection, path: str, durability: str, mounts: str = "/proc/self/mountinfo"
) -> list[Finding]:
    """Reads the whole file once (``quick_check``): seconds for a large one. Changes nothing."""
    findings = [_durability(durability)]
    if path != ":memory:":
        findings += [_place(path, mounts), _space(path), _log(path)]
    findings.append(_integrity(db, path))
    return findings


def _durability(durability: str) -> Finding:
    sentence = f"{durability[0].upper()}{durability[1:]}."
    if durability == DURABILITY["FULL"]:
        return Finding(severity="ok", about="store", text=sentence)
    return Finding(
        severity="warning",
        about="store",
        text=sentence,
        help="leave synchronous=NORMAL out of the store's URL where acknowledged jobs must survive",
    )


def _place(path: str, mounts: str) -> Finding:
    kind = filesystem(path, mounts)
    if kind in _NETWORK:
        return Finding(
            severity="error",
            about="store",
            text=f"{path} lies on a network file system ({kind}): SQLite's locks and its log do not work there, "
            "and wake-ups reach only processes of one host.",
            help="put the file on a local disk, or use a store that is a server",
        )
    if kind in _VOLATILE:
        return Finding(
            severity="warning",
            about="store",
            text=f"{path} lies in memory ({kind}): a restart of the host loses every job.",
            help="put the file on a disk",
        )
    return Finding(
        severity="ok", about="store", text=f"{path} lies on a local file system ({kind or 'unknown kind'})."
    )


def filesystem(path: str, mounts: str) -> str:
    """The kind of file system a file lies on, as the kernel names it; empty where there is no such list."""
    real = os.path.realpath(path)
    best, kind = "", ""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount hides an earlier one
            best, kind = point, rest.split(" ")[0]
    return kind


def _space(path: str) -> Finding:
    usage = shutil.disk_usage(Path(path).parent)
    text = f"{_size(usage.free)} of {_size(usage.total)} are free on the store's disk."
    advice = "free some space: a store on a full disk refuses every job; `duly prune` deletes old ones"
    if usage.free < _NO_SPACE:
        return Finding(severity="error", about="disk", text=text, help=advice)
    if usage.free < _LOW_SPACE:
        return Finding(severity="warning", about="disk", text=text, help=advice)
    return Finding(severity="ok", about="disk", text=text)


def _log(path: str) -> Finding:
    file, log = os.stat(path).st_size, 0
    if os.path.exists(path + "-wal"):
        log = os.stat(path + "-wal").st_size
    text = f"The file has {_size(file)}, its write-ahead log {_size(log)}."
    if log <= _LARGE_LOG:
        return Finding(severity="ok", about="store", text=text)
    return Finding(
        severity="warning",
        about="store",
        text=text,
        help="something keeps the log from being copied back, mostly a reader that never ends its transaction: "
        f"find it with `fuser {path}`",
    )


def _integrity(db: sqlite3.Connection, path: str) -> Finding:
    try:
        said = [text for (text,) in db.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as exc:  # so damaged that it cannot even be checked
        said = [str(exc)]
    lines = [line for text in said for line in text.splitlines() if not line.startswith("***")]
    if said == ["ok"]:
        return Finding(severity="ok", about="store", text="The file is sound (quick_check).")
    return Finding(
        severity="error",
        about="store",
        text=f"The file is damaged: {'; '.join(line.rstrip('.') for line in lines)}.",
        help=f"stop the workers, keep a copy, then `sqlite3 {path} .recover`",
    )


def _size(n: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if n < 10_000:
            return f"{n:,} {unit}"
        n //= 1024
    return f"{n:,} GiB" if n < 10_000 else f"{n // 1024:,} TiB"
