"""``celery.canvas``: duly's (docs/canvas.md), stored whole at the call."""

from __future__ import annotations

from duly.canvas import chain, chord, chunks, group, maybe_signature, signature, xmap, xstarmap
from duly.signature import Signature
from duly.stamping import StampingVisitor

subtask = signature
maybe_subtask = maybe_signature

__all__ = [
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "maybe_subtask",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]
