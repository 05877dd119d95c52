"""The door to RabbitMQ, with a real one behind it: what comes in, and what becomes of it when things break."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pika
import pytest
from gateway_kit import PROJECT, door_to, jobs, publish, taking, until
from tests.servers.celery import CeleryProgram, celery_version
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitServer

from duly import Duly
from duly.bindings import Exchange, Queue
from duly.errors import ConfigError
from duly.gateway.publishing import rabbit_parameters
from duly.gateway.running import door_of


def test_calls_of_a_celery_client_become_jobs(
    shared_rabbitmq: RabbitServer, celery: CeleryProgram, queue: str, store_of: Callable[[str], str]
) -> None:
    app = Duly("proj", store=store_of("sqlite"))

    @app.task(name="proj.add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    with taking(app, door_to([shared_rabbitmq.url()], queue)):
        celery.run(f"""
for i in range(3): add.apply_async((i,), {{"y": 1}}, queue="{queue}", priority=i, headers={{"who": "me"}})
add.apply_async((7,), queue="{queue}", countdown=3600, expires=7200, task_id="later")
note.apply_async((b"1",), queue="{queue}", serializer="pickle", task_id="pickled")
""")
        until(lambda: len(jobs(app, queue)) == 5, "five jobs")
        until(lambda: not any(shared_rabbitmq.queues()[queue].values()), "all acknowledged")
    found = {job.id: job for job in jobs(app, queue)}
    assert found["later"].state_name(app.now()) == "scheduled"
    assert (
        found["later"].expires == found["later"].due + 3600_000_000
        or abs(
            found["later"].expires - found["later"].due - 3600_000_000  # type: ignore[operator]
        )
        < 1_000_000
    )
    assert sorted(job.priority for job in found.values() if job.task == "proj.add") == [0, 0, 1, 2]
    unreadable = next(job for job in found.values() if job.task == "duly.unreadable")
    assert b"not in accept_content" in unreadable.args


def test_what_is_no_message_of_celerys_is_kept_with_its_bytes(
    shared_rabbitmq: RabbitServer, queue: str, store_of: Callable[[str], str]
) -> None:
    app = Duly("proj", store=store_of("sqlite"))
    with taking(app, door_to([shared_rabbitmq.url()], queue)):
        connection = pika.BlockingConnection(pika.URLParameters(shared_rabbitmq.url()))
        until(lambda: queue in shared_rabbitmq.queues(), "the door has declared its queue")
        connection.channel().basic_publish("", queue, b"\xff\x00 nonsense", pika.BasicProperties(headers={"a": 1}))
        until(lambda: len(jobs(app, queue)) == 1, "one job")
        connection.close()
    (job,) = jobs(app, queue)
    assert job.task == "duly.unreadable"


CRAWL = """
from kombu import Exchange, Queue
quorum = {"x-queue-type": "quorum"}
app.conf.task_queues = [Queue("crawl", Exchange("crawl", "topic"), "crawl.#", queue_arguments=quorum)]
send = dict(exchange="crawl", routing_key="crawl.page", queue="crawl")
"""


def test_quorum_queues_and_delayed_delivery(
    shared_rabbitmq: RabbitServer, tmp_path: Path, store_of: Callable[[str], str]
) -> None:
    """A topic exchange and a quorum queue, which Celery's client sends to by way of its 28 delayed queues."""
    crawl = Queue("crawl", Exchange("crawl", "topic"), "crawl.#", queue_arguments={"x-queue-type": "quorum"})
    app = Duly("proj", store=store_of("sqlite"), broker=shared_rabbitmq.new_vhost(), task_queues=[crawl])
    program = CeleryProgram(tmp_path / "proj", PROJECT + CRAWL, {"BROKER": app.brokers[0]})
    with program as celery, taking(app, door_of(app, ["crawl"])):
        until(lambda: "celery_delayed_0" in shared_rabbitmq.queues(app.brokers[0].rpartition("/")[2]), "topology")
        celery.run("add.apply_async((1,), task_id='now', **send)")
        celery.run("add.apply_async((2,), countdown=3, task_id='soon', **send)")
        until(lambda: len(jobs(app, "crawl")) == 2, "both jobs")
    (soon,) = [job for job in jobs(app, "crawl") if job.id == "soon"]
    if celery_version() >= (5, 5):  # which sends it by way of these queues
        assert soon.created > soon.due - 1_500_000  # whole seconds it was on its way
    app.close()


def test_queues_are_declared_as_the_settings_say(
    shared_rabbitmq: RabbitServer, store_of: Callable[[str], str]
) -> None:
    app = Duly(
        "proj",
        store=store_of("sqlite"),
        broker=shared_rabbitmq.new_vhost(),
        task_default_queue="q",
        task_default_queue_type="quorum",
        task_queues=[Queue("p", max_priority=5)],
    )
    with taking(app, door_of(app, ["q", "p", "c"])):
        vhost = app.brokers[0].rpartition("/")[2]
        until(lambda: set(shared_rabbitmq.queues(vhost)) == {"q", "p", "c"}, "the queues")
        said = shared_rabbitmq.control("-q", "list_queues", "-p", vhost, "name", "type", "arguments")
    kinds = {line.split("\t")[0]: line for line in said.splitlines()}
    assert "quorum" in kinds["q"]
    assert 'x-max-priority",5' in kinds["p"]
    assert "classic" in kinds["c"]
    app.close()


def test_a_queue_shared_with_a_celery_worker(
    shared_rabbitmq: RabbitServer, celery: CeleryProgram, queue: str, store_of: Callable[[str], str]
) -> None:
    """Each message goes to one of them."""
    app = Duly("proj", store=store_of("sqlite"))
    celery.environment["NOTES"] = str(celery.folder / "notes")
    with open(celery.folder / "proj.py", "a") as file:
        file.write("""
@app.task
def tell(i):
    fd = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, b"%d\\n" % i)
    os.close(fd)
""")
    celery.start("worker", "-P", "solo", "-Q", queue, "-l", "INFO", "--prefetch-multiplier", "1")
    until(lambda: "ready." in celery.log(), "Celery's worker", 60)
    with taking(app, door_to([shared_rabbitmq.url()], queue)):
        celery.run(f"for i in range(400): tell.apply_async((i,), queue={queue!r})")
        notes = celery.folder / "notes"

        def theirs() -> list[int]:
            return [int(line) for line in notes.read_text().split()] if notes.exists() else []

        try:
            until(lambda: len(theirs()) + len(jobs(app, queue)) >= 400, "all, at one of them")
        except AssertionError as error:
            error.add_note(f"{len(theirs())} there, {len(jobs(app, queue))} here\n{celery.log()}")
            raise
        ours = [int(job.args.strip(b"[]{},")) for job in jobs(app, queue)]
    assert ours
    assert theirs()
    assert sorted(theirs() + ours) == list(range(400))
    app.close()


def test_tls(tmp_path: Path, queue: str, store_of: Callable[[str], str]) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    settings = {
        "ssl_listeners": f'[{{"127.0.0.1", {port}}}]',
        "ssl_options": f'[{{certfile, "{certificate}"}}, {{keyfile, "{key}"}}, {{verify, verify_none}}]',
    }
    app = Duly("proj", store=store_of("sqlite"))
    with RabbitServer(tmp_path / "rabbitmq", settings) as server:
        url = f"amqps://guest:guest@localhost:{port}/%2F?ssl_options=" + quote(f"{{'ca_certs': '{certificate}'}}")
        publish(server.url(), queue, ["one"])
        with taking(app, door_to([url], queue)):
            until(lambda: len(jobs(app, queue)) == 1, "the job")
    app.close()


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost"),
    [
        ("amqp://", "localhost", 5672, "/"),
        ("pyamqp://guest@localhost//", "localhost", 5672, "/"),
        ("amqp://me:secret@rabbit:5673/jobs?heartbeat=7", "rabbit", 5673, "jobs"),
        ("amqps://rabbit/%2Fa", "rabbit", 5671, "/a"),
    ],
)
def test_urls(url: str, host: str, port: int, vhost: str) -> None:
    found = rabbit_parameters(url)
    assert (found.host, found.port, found.virtual_host) == (host, port, vhost)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqp://rabbit:port//", "expected amqp://user:password@host:port/vhost"),
        ("ampq://rabbit//", "no door to ampq; known are .*; did you mean 'amqp'"),
        ("amqp://a//;redis://b", "RabbitMQ and Redis cannot stand in for each other"),
        ("redis://host:port/0", "expected redis://:password@host:port/0"),
        ("redis://host:6379/abc", "'abc' is no number of a database"),
    ],
)
def test_urls_that_are_none(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        door_of(Duly("proj", broker=url), ["celery"])
