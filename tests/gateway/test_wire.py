"""The codec, against bytes that a real Celery put on a real Redis."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
import redis
from gateway_kit import PROJECT
from tests.servers.celery import CeleryProgram
from tests.servers.redis import RedisServer

from duly.codec import decode_value
from duly.errors import DecodeError
from duly.gateway import envelope as envelopes
from duly.gateway.envelope import Envelope
from duly.gateway.wire import Embed, Message, decode, encode

SEND = """
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

moment = datetime(2030, 1, 2, 3, 4, 5, 6, timezone.utc)
rich = (moment, date(2030, 1, 2), time(3, 4), Decimal("1.10"), UUID(int=7), b"\\xff")
add.apply_async((2, 3), task_id="plain", queue="plain")
add.apply_async((2,), {"y": 3}, queue="all", task_id="all", eta=moment,
    expires=datetime(2031, 1, 1, tzinfo=timezone.utc), priority=6, headers={"who": "me"}, time_limit=20,
    soft_time_limit=10, shadow="other", ignore_result=True, retries=2, root_id="root", parent_id="parent")
add.apply_async((datetime(2030, 1, 1, tzinfo=timezone.utc),), countdown=60, expires=120, queue="soon", task_id="soon")
note.apply_async(rich, queue="rich")
note.apply_async((float("nan"), "é\\u2028"), queue="nan")
for how in ("json", "msgpack", "yaml", "pickle"):
    note.apply_async((1, "two", None, [3.5], {"four": True}), {"five": "fünf"}, serializer=how, queue=how)
note.apply_async(rich[:1] + rich[4:5], serializer="pickle", queue="richpickle")
note.apply_async((object(),), serializer="pickle", queue="badpickle")
for how in ("gzip", "bzip2", "zlib", "lzma"):
    note.apply_async(("x" * 1000,), compression=how, queue=how)
add.apply_async((1, 2), link=[note.s("after")], link_error=note.s("failed"), queue="linked", task_id="linked")
(add.s(1, 2).set(queue="chain") | add.s(3) | add.s(4)).apply_async()
group(add.s(i, i).set(queue="group") for i in range(2)).apply_async()
chord([add.s(i, i).set(queue="chord") for i in range(2)], note.s().set(task_id="body")).apply_async()
stamped = add.s(1, 2)
stamped.stamp(monitoring="m1")
stamped.apply_async(queue="stamped")
app.conf.task_protocol = 1
del app.amqp.create_task_message
add.apply_async((2,), {"y": 3}, queue="v1", task_id="old", countdown=60, expires=120, link=note.s(),
    headers={"who": "me"})
"""


@pytest.fixture(scope="module")
def sent(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Envelope]]:
    """What a client put on each queue, oldest first."""
    url = shared_redis.url(7)
    with redis.Redis.from_url(url) as client:
        client.flushdb()  # what clients of other tests left
    with CeleryProgram(tmp_path_factory.mktemp("proj"), PROJECT, {"BROKER": url, "BACKEND": url}) as program:
        program.run(SEND)
    with redis.Redis.from_url(url) as client:
        lists = [key for key in client.scan_iter() if client.type(key) == b"list"]
        return {key.decode().partition("\x06")[0]: [
            envelopes.from_redis(item) for item in reversed(client.lrange(key, 0, -1))
        ] for key in lists}  # fmt: skip


def values(message: Message) -> Any:
    return decode_value(message.args)


def test_a_plain_call(sent: dict[str, list[Envelope]]) -> None:
    message = decode(sent["plain"][0])
    assert (message.id, message.task, values(message)) == ("plain", "proj.add", [[2, 3], {}])
    assert message.root_id == "plain"
    assert message.reply_to
    assert message.correlation_id == "plain"
    assert (message.eta, message.expires, message.retries, message.embed, message.headers) == (
        None,
        None,
        0,
        Embed(),
        {},
    )
    assert message.origin is not None
    assert message.origin.startswith("gen")


def test_every_option(sent: dict[str, list[Envelope]]) -> None:
    message = decode(sent["all"][0])
    assert values(message) == [[2], {"y": 3}]
    assert message.eta == 1893553445000006
    assert message.expires == 1924992000000000
    assert (message.priority, message.retries, message.shadow, message.ignore_result) == (6, 2, "other", True)
    assert (message.time_limit, message.soft_time_limit) == (20, 10)
    assert (message.root_id, message.parent_id) == ("root", "parent")
    assert message.headers == {"who": "me"}


def test_countdowns_become_instants(sent: dict[str, list[Envelope]]) -> None:
    message = decode(sent["soon"][0])
    assert message.eta is not None
    assert message.expires is not None
    assert message.expires - message.eta == pytest.approx(60_000_000, abs=1_000_000)
    assert values(message)[0] == [datetime(2030, 1, 1, tzinfo=UTC)]


def test_values_that_json_lacks(sent: dict[str, list[Envelope]]) -> None:
    (moment, day, hour, number, uuid, data), _ = values(decode(sent["rich"][0]))
    assert moment == datetime(2030, 1, 2, 3, 4, 5, 6, UTC)
    assert (day.isoformat(), hour.isoformat()) == ("2030-01-02", "03:04:00")
    assert (number, uuid, data) == (Decimal("1.10"), UUID(int=7), b"\xff")


def test_kombus_nan(sent: dict[str, list[Envelope]]) -> None:
    (nan, text), _ = values(decode(sent["nan"][0]))
    assert nan != nan
    assert text == "é\u2028"


@pytest.mark.parametrize("how", ["json", "msgpack", "yaml", "pickle"])
def test_serializers(sent: dict[str, list[Envelope]], how: str) -> None:
    message = decode(sent[how][0], accept=[how])
    assert values(message) == [[1, "two", None, [3.5], {"four": True}], {"five": "fünf"}]


def test_a_pickle_is_read_only_where_it_is_allowed(sent: dict[str, list[Envelope]]) -> None:
    with pytest.raises(DecodeError, match=r"\(pickle\) is not in accept_content, which has json, msgpack, yaml"):
        decode(sent["richpickle"][0])
    assert values(decode(sent["richpickle"][0], accept=["pickle"]))[0] == [
        datetime(2030, 1, 2, 3, 4, 5, 6, UTC),
        UUID(int=7),
    ]
    with pytest.raises(DecodeError, match="no JSON form"):
        decode(sent["badpickle"][0], accept=["pickle"])


@pytest.mark.parametrize("how", ["gzip", "bzip2", "zlib", "lzma"])
def test_compressions(sent: dict[str, list[Envelope]], how: str) -> None:
    assert values(decode(sent[how][0]))[0] == ["x" * 1000]


def test_links(sent: dict[str, list[Envelope]]) -> None:
    embed = decode(sent["linked"][0]).embed
    assert embed.callbacks is not None
    assert embed.errbacks is not None
    assert [(sig["task"], sig["args"]) for sig in embed.callbacks] == [("proj.note", ["after"])]
    assert [(sig["task"], sig["args"]) for sig in embed.errbacks] == [("proj.note", ["failed"])]


def test_the_rest_of_a_chain_is_a_stack(sent: dict[str, list[Envelope]]) -> None:
    embed = decode(sent["chain"][0]).embed
    assert embed.chain is not None
    assert [sig["args"] for sig in embed.chain] == [[4], [3]]


def test_members_of_groups_and_chords(sent: dict[str, list[Envelope]]) -> None:
    first, second = map(decode, sent["group"])
    assert first.group == second.group
    assert (first.group_index, second.group_index) == (0, 1)
    message = decode(sent["chord"][0])
    assert message.embed.chord is not None
    assert message.embed.chord["options"]["task_id"] == "body"


def test_stamps(sent: dict[str, list[Envelope]]) -> None:
    message = decode(sent["stamped"][0])
    assert message.stamped == ["monitoring"]
    assert message.stamps == {"monitoring": "m1"}


def test_protocol_1(sent: dict[str, list[Envelope]]) -> None:
    message = decode(sent["v1"][0])
    assert (message.protocol, message.id, message.task, values(message)) == (1, "old", "proj.add", [[2], {"y": 3}])
    assert message.eta is not None
    assert message.expires is not None
    assert abs(message.eta / 1e6 - datetime.now(UTC).timestamp() - 60) < 30
    assert message.embed.callbacks is not None
    assert message.headers == {"who": "me"}


def test_what_is_kept_goes_on_unchanged(sent: dict[str, list[Envelope]]) -> None:
    for each in (one for queue in sent.values() for one in queue):
        kept = envelopes.unpack(envelopes.pack(each))
        assert kept == each
        assert envelopes.from_redis(envelopes.to_redis(kept)) == each


def test_what_is_written_says_the_same(sent: dict[str, list[Envelope]]) -> None:
    for each in (one for queue in sent.values() for one in queue):
        if each.content_type != envelopes.JSON:
            continue
        message = decode(each)
        again = decode(encode(message, each.headers.get("compression")))
        assert again == message


def test_a_real_worker_reads_what_is_written(shared_redis: RedisServer, tmp_path: Any) -> None:
    """Celery's own code takes the message apart, both protocols."""
    code = """
import base64, json, sys
from kombu.message import Message
from celery.worker.request import Request
from celery.worker.strategy import proto1_to_proto2
for item in json.loads(sys.stdin.read()):
    message = Message(base64.b64decode(item["body"]), content_type=item["type"], content_encoding="utf-8",
        headers=item["headers"], properties=item["properties"], delivery_info={}, accept={"application/json"})
    if "task" in message.headers:
        request = Request(message, app=app, task=add)
    else:
        body, headers, decoded, utc = proto1_to_proto2(message, message.payload)
        request = Request(message, app=app, task=add, body=body, headers=headers, decoded=decoded, utc=utc)
    print(json.dumps([request.id, request.name, request.args, request.kwargs, request.eta.isoformat(),
        request.expires.isoformat(), list(request.time_limits), request.reply_to]))
"""
    eta = 1893553445000006
    calls = [
        Message(id="a", task="proj.add", args=b'[[1],{"y":2}]', eta=eta, expires=eta + 1, time_limit=20.0,
                soft_time_limit=10.0, reply_to="me", protocol=protocol)
        for protocol in (2, 1)
    ]  # fmt: skip
    items = [
        {
            "body": each.body,
            "type": each.content_type,
            "headers": each.headers,
            "properties": each.properties,
        }
        for each in map(encode, calls)
    ]
    with CeleryProgram(tmp_path, PROJECT, {"BROKER": shared_redis.url(7)}) as program:
        said = program.run(code, stdin=msgspec.json.encode(items).decode())
    instants = ["2030-01-02T03:04:05.000006+00:00", "2030-01-02T03:04:05.000007+00:00"]
    expected = ["a", "proj.add", [1], {"y": 2}, *instants, [20.0, 10.0], "me"]
    assert [json.loads(line) for line in said.splitlines()] == [expected, expected]


BROKEN: list[tuple[Envelope, str]] = [
    (Envelope(body=b"[[],{},{}]"), "no header 'task'"),
    (Envelope(body=b"nonsense"), "the body is not application/json"),
    (Envelope(body=b"\xff\x00 no"), "'utf-8' codec can't decode byte 0xff"),
    (Envelope(body=b"[]", headers={"task": "t", "id": "i"}), r"not \[args, kwargs, embed\]"),
    (Envelope(body=b"[1,{},{}]", headers={"task": "t", "id": "i"}), "arguments are not a list: 1"),
    (Envelope(body=b"[[],2,{}]", headers={"task": "t", "id": "i"}), "keyword arguments are not a mapping: 2"),
    (Envelope(body=b"[[],{},3]", headers={"task": "t", "id": "i"}), "after the task is not a mapping: 3"),
    (Envelope(body=b'[[],{},{"chain":3}]', headers={"task": "t", "id": "i"}), "chain"),
    (Envelope(body=b"[[],{},{}]", headers={"task": "t"}), "needs an id"),
    (Envelope(body=b"[[],{},{}]", headers={"task": 7, "id": "i"}), "task is to be str"),
    (Envelope(body=b"[[],{},{}]", headers={"task": "t", "id": "i", "eta": "soon"}), "eta 'soon' is not an instant"),
    (Envelope(body=b"[[],{},{}]", headers={"task": "t", "id": "i", "retries": "2"}), "retries is to be int"),
    (Envelope(body=b"[[],{},{}]", headers={"task": "t", "id": "i", "timelimit": 3}), "not a call of Celery's"),
    (Envelope(body=b"xyz", headers={"task": "t", "compression": "application/x-gzip"}), "is not application/x-gzip"),
    (
        Envelope(body=b"x", headers={"task": "t", "compression": "application/x-nyx"}),
        "'application/x-nyx' is not known",
    ),
    (Envelope(body=b"x", content_type="text/plain"), "content type 'text/plain' is not known"),
    (Envelope(body=b"\xff", content_encoding="utf-9", headers={"task": "t"}), "utf-9"),
    (Envelope(body=pickle.dumps(1), content_type="application/x-python-serialize"), "not in accept_content"),
]


@pytest.mark.parametrize(("envelope", "says"), BROKEN)
def test_what_is_no_call_says_why(envelope: Envelope, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode(envelope)


def test_a_body_that_unpacks_to_all_of_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelopes, "MAX_BODY", 1 << 20)
    for how in ("application/x-gzip", "application/x-bz2", "application/x-lzma"):
        bomb = Envelope(body=envelopes.compress(bytes(2 << 20), how), headers={"task": "t", "compression": how})
        with pytest.raises(DecodeError, match="is more than 1 MiB"):
            decode(bomb)


def test_naive_instants_are_of_the_zone() -> None:
    from zoneinfo import ZoneInfo

    envelope = Envelope(body=b"[[],{},{}]", headers={"task": "t", "id": "i", "eta": "2030-06-01T12:00:00"})
    utc, paris = decode(envelope).eta, decode(envelope, zone=ZoneInfo("Europe/Paris")).eta
    assert utc is not None
    assert paris is not None
    assert utc - paris == timedelta(hours=2) / timedelta(microseconds=1)
