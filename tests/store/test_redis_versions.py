"""What is asked of a server is what Redis 6.2 knows: read out of the scripts, told by a newer server's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import redis
from tests.servers.redis import RedisServer

import duly.store.redis

OLDEST = (6, 2)
CALL = re.compile(r"\b(?:redis\.)?(?:call|pcall|each)\(\s*'([A-Z]+)'((?:[^()]|\([^()]*\))*)\)")
ASKED = re.compile(r"(?:command|packed)\(\(?b?\"([A-Z]+)\"((?:[^()]|\([^()]*\))*)\)")
LITERAL = re.compile(r"[\"']([A-Z]+)[\"']")
LUA_OF_7 = re.compile(r"#!lua|redis\.(REDIS_VERSION|acl_check_cmd|register_function|set_repl|breakpoint)|\bserver\.")

Used = list[tuple[str, str, set[str]]]  # where, the command, the words in capitals that go with it


def in_files() -> Iterator[tuple[str, str]]:
    for folder, suffix in (("lua", ".lua"), (".", ".py")):
        for entry in resources.files(duly.store.redis).joinpath(folder).iterdir():
            if entry.name.endswith(suffix):
                yield entry.name, entry.read_text()


def used() -> Used:
    found = []
    for name, text in in_files():
        for command, rest in (CALL if name.endswith(".lua") else ASKED).findall(text):
            found.append((name, command, set(LITERAL.findall(rest))))
    return found


def documented(server: RedisServer, names: set[str]) -> dict[str, dict[str, Any]]:
    with redis.Redis(port=server.port) as client:
        answer = client.execute_command("COMMAND DOCS", *sorted(names))
    return {name.upper(): doc for name, doc in mapped(answer).items()}


def mapped(flat: Any) -> dict[str, Any]:
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    return {text(key): mapped(value) if key != b"arguments" and is_map(value) else value for key, value in pairs}


def is_map(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and len(value) % 2 == 0 and all(isinstance(key, bytes) for key in value[::2])
    )


def text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def version(since: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in text(since).split(".")[:2])


def newer_tokens(arguments: Any, newer: bool = False) -> set[str]:
    """Options of a command that 6.2 does not know; ``newer``: whatever they are part of is newer."""
    found = set()
    for argument in arguments:
        fields = mapped(argument)
        this = newer or version(fields.get("since", "1.0")) > OLDEST
        if this and "token" in fields:
            found.add(text(fields["token"]))
        found |= newer_tokens(fields.get("arguments", []), this)
    return found


def too_new(server: RedisServer, what: Used) -> set[tuple[str, str]]:
    docs = documented(server, {command for _, command, _ in what})
    found = {(where, command) for where, command, _ in what if version(docs[command]["since"]) > OLDEST}
    for where, command, words in what:
        found |= {(where, f"{command} {word}") for word in words & newer_tokens(docs[command].get("arguments", []))}
    return found


def test_scripts_and_calls_ask_for_nothing_that_is_newer_than_6_2(shared_redis: RedisServer) -> None:
    what = [one for one in used() if one[1] != "SENTINEL"]  # which is said to Sentinels, and as old as they
    commands = {command for _, command, _ in what}
    assert {"ZADD", "HSET", "SMISMEMBER", "PUBLISH", "SUBSCRIBE", "HGETALL"} <= commands, "they are not found"
    assert len(commands) > 30
    assert too_new(shared_redis, what) == set()


def test_what_is_newer_would_be_found(shared_redis: RedisServer) -> None:
    newer: Used = [("x.lua", "LMPOP", set()), ("x.lua", "EXPIRE", {"NX"}), ("x.lua", "ZADD", {"NX"})]
    assert too_new(shared_redis, newer) == {("x.lua", "LMPOP"), ("x.lua", "EXPIRE NX")}


def test_scripts_use_lua_as_6_2_has_it() -> None:
    for name, source in in_files():
        if name.endswith(".lua"):
            assert LUA_OF_7.findall(source) == [], name
