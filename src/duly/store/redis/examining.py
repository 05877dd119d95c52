"""What a Redis server can be found to get wrong, for ``duly doctor``; and what it promises about power loss."""

from __future__ import annotations

from duly.errors import StoreError
from duly.messages import Finding
from duly.store.redis.server import Server

_SETTINGS = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy")
_KEEPS = "noeviction"
_NEARLY = 0.9  # of maxmemory
_OLDEST = (6, 2)

_ALWAYS = "every acknowledged job survives a loss of power (appendonly yes, appendfsync always)"
_SECOND = (
    "a crash of the server or a loss of power may undo up to about two seconds of acknowledged work (appendonly yes, "
    "appendfsync everysec)"
)
_KERNEL = (
    "a loss of power may undo up to about half a minute of acknowledged work (appendonly yes, appendfsync no: the "
    "kernel writes when it likes)"
)
_SNAPSHOTS = (
    "a crash of the server or a loss of power undoes all since its last snapshot (appendonly no, save {save}), which "
    "may be minutes of acknowledged work"
)
_MEMORY = "nothing survives a restart of the server (appendonly no, and no snapshots)"
_UNKNOWN = (
    "unknown: this server does not tell its settings (CONFIG GET is refused), so ask who runs it for appendfsync"
)


def durability(server: Server) -> tuple[str, bool | None]:
    """One sentence, and whether nothing acknowledged is ever lost (None: unknown)."""
    return _promise(_settings(server))


def _promise(settings: dict[str, str] | None) -> tuple[str, bool | None]:
    if settings is None:
        return _UNKNOWN, None
    if settings.get("appendonly") == "yes":
        how = settings.get("appendfsync", "")
        return {"always": _ALWAYS, "no": _KERNEL}.get(how, _SECOND), how == "always"
    save = settings.get("save", "")
    return (_SNAPSHOTS.format(save=f'"{save}"') if save else _MEMORY), False


def examine(server: Server) -> list[Finding]:
    """Reads settings and INFO; changes nothing."""
    settings, info = _settings(server), _info(server)
    findings = [_version(info), _promised(settings), _policy(settings, info), _memory(info)]
    findings += [_persisting(info), _replication(info)]
    return [finding for finding in findings if finding is not None]


def _version(info: dict[str, str]) -> Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "0.0")
    text = f"The server is {name} {version}, {info.get('redis_mode', 'standalone')}."
    if tuple(int(part) for part in info.get("redis_version", "0.0").split(".")[:2]) >= _OLDEST:
        return Finding(severity="ok", about="store", text=text)
    return Finding(severity="error", about="store", text=text, help="duly needs Redis 6.2 or later, or Valkey")


def _promised(settings: dict[str, str] | None) -> Finding:
    sentence, kept = _promise(settings)
    text = f"{sentence[0].upper()}{sentence[1:]}."
    if kept:
        return Finding(severity="ok", about="store", text=text)
    advice = (
        "to keep every acknowledged job: CONFIG SET appendonly yes, CONFIG SET appendfsync always, CONFIG REWRITE"
    )
    return Finding(severity="warning", about="store", text=text, help=advice)


def _policy(settings: dict[str, str] | None, info: dict[str, str]) -> Finding | None:
    policy = info.get("maxmemory_policy") or (settings or {}).get("maxmemory-policy")
    if policy is None:
        return None
    if policy == _KEEPS:
        return Finding(
            severity="ok", about="store", text="A full memory refuses new jobs and evicts none (noeviction)."
        )
    return Finding(
        severity="error",
        about="store",
        text=f"maxmemory-policy is {policy}: a server whose memory is full deletes keys, among them jobs.",
        help="CONFIG SET maxmemory-policy noeviction, CONFIG REWRITE; a cache that evicts needs a server of its own",
    )


def _memory(info: dict[str, str]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    text = f"The server uses {_size(used)} of memory" + (f", of {_size(most)} it may use." if most else ".")
    if not most or used < most * _NEARLY:
        return Finding(severity="ok", about="memory", text=text)
    return Finding(
        severity="error" if used >= most else "warning",
        about="memory",
        text=text,
        help="a full server refuses new jobs (workers go on, and so does what has ended): raise maxmemory, or let "
        "`duly prune` delete old jobs",
    )


def _persisting(info: dict[str, str]) -> Finding | None:
    failed = [
        what
        for what in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if info.get(what, "ok") != "ok"
    ]
    if not failed:
        return None
    return Finding(
        severity="error",
        about="disk",
        text=f"The server could not write to its disk ({', '.join(failed)}), and may refuse writes.",
        help="see the server's log; a full disk is the usual reason",
    )


def _replication(info: dict[str, str]) -> Finding | None:
    if info.get("role") == "slave":
        return Finding(
            severity="error",
            about="store",
            text="The server is a replica: it refuses every write.",
            help="name the primary in the store's URL, or an address that follows it",
        )
    if info.get("connected_slaves", "0") == "0":
        return None
    return Finding(
        severity="ok",
        about="store",
        text=f"{info['connected_slaves']} replicas follow; a failover loses what had not reached them.",
    )


def _settings(server: Server) -> dict[str, str] | None:
    """None if the server does not tell (many that are rented do not)."""
    try:
        found = [server.command("CONFIG", "GET", name) for name in _SETTINGS]
    except StoreError as error:
        if "CONFIG" in str(error) or "NOPERM" in str(error):
            return None
        raise
    return {pair[0].decode(): pair[1].decode() for pair in found if pair}


def _info(server: Server) -> dict[str, str]:
    lines = server.command("INFO").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _size(n: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if n < 10_000:
            return f"{n:,} {unit}"
        n //= 1024
    return f"{n:,} GiB"
