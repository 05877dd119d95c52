"""Jobs in the caller's own transaction: psycopg, SQLAlchemy, Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest
import sqlalchemy
from django.conf import settings
from postgres_kit import new_schema
from psycopg.rows import dict_row
from sqlalchemy.orm import Session
from tests.servers.postgres import PostgresServer

from duly import Duly
from duly.errors import ConfigError, DuplicateKey
from duly.job import Filter


@pytest.fixture
def app(postgres: PostgresServer) -> Iterator[Duly]:
    app = Duly("shop", store=postgres.url(schema=new_schema()))
    app.store.now()
    yield app
    app.close()


@pytest.fixture
def greet(app: Duly) -> Any:
    @app.task(name="greet")
    def greet(name: str) -> str:
        return f"hello {name}"

    return greet


def stored(app: Duly) -> list[str]:
    return [job.id for job in app.store.jobs(Filter(), order="due").jobs]


Begin = Callable[[], Any]


def psycopg_way(server: PostgresServer) -> Iterator[tuple[Any, Callable[[], None], Callable[[], None]]]:
    with psycopg.connect(server.conninfo(), row_factory=dict_row, cursor_factory=psycopg.ClientCursor) as mine:
        yield mine, mine.commit, mine.rollback


def alchemy_way(server: PostgresServer) -> Iterator[tuple[Any, Callable[[], None], Callable[[], None]]]:
    engine = sqlalchemy.create_engine(server.url().replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as mine:
        yield mine, mine.commit, mine.rollback
    engine.dispose()


def session_way(server: PostgresServer) -> Iterator[tuple[Any, Callable[[], None], Callable[[], None]]]:
    engine = sqlalchemy.create_engine(server.url().replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as mine:
        yield mine, mine.commit, mine.rollback
    engine.dispose()


WAYS = {"psycopg": psycopg_way, "SQLAlchemy Connection": alchemy_way, "SQLAlchemy Session": session_way}


@pytest.fixture(params=WAYS)
def way(
    request: pytest.FixtureRequest, postgres: PostgresServer
) -> Iterator[tuple[Any, Callable[[], None], Callable[[], None]]]:
    yield from WAYS[request.param](postgres)


def test_a_job_comes_with_the_commit(app: Duly, greet: Any, way: Any) -> None:
    connection, commit, _ = way
    with closing(app.store.listen("work")) as listener:
        result = greet.using(connection).delay("you")
        assert stored(app) == []
        while listener.wait(0.1):  # what came before
            pass
        commit()
        assert listener.wait(5), "workers are woken by the commit"
    assert stored(app) == [result.id]


def test_rolled_back_it_has_never_been(app: Duly, greet: Any, way: Any) -> None:
    connection, commit, rollback = way
    greet.using(connection).delay("you")
    greet.using(connection).apply_async(["you"], key="k")
    greet.using(connection).enqueue_many([("a",), ("b",)])
    rollback()
    commit()
    assert stored(app) == []


def test_options_keys_and_bulks(app: Duly, greet: Any, way: Any) -> None:
    connection, commit, _ = way
    calls = greet.using(connection)
    later = calls.apply_async(["you"], countdown=3600, key="k", queue="mail")
    again = calls.apply_async(["you"], key="k")
    assert again.id == later.id
    many = calls.enqueue_many([("a",), ("b",)], queue="bulk")
    with pytest.raises(DuplicateKey):
        calls.apply_async(["you"], key="k", on_conflict="error")
    commit()
    assert sorted(stored(app)) == sorted([later.id, *(one.id for one in many)])
    (job,) = app.store.jobs(Filter(ids=(later.id,))).jobs
    assert (job.queue, job.key) == ("mail", "k")


def test_django(app: Duly, greet: Any, postgres: PostgresServer) -> None:
    if not settings.configured:
        settings.configure(DATABASES={})
        django.setup()
    from django.db import connections, transaction

    connections.settings["theirs"] = connections.configure_settings(
        {
            "default": {},
            "theirs": {
                "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
                "HOST": "127.0.0.1", "PORT": str(postgres.port),
            },
        }
    )["theirs"]  # fmt: skip

    class Undo(Exception):
        pass

    try:
        with suppress(Undo), transaction.atomic(using="theirs"):
            greet.using("theirs").delay("you")
            raise Undo
        assert stored(app) == []
        with transaction.atomic(using="theirs"):
            first = greet.using("theirs").delay("you")
            second = greet.using(connections["theirs"]).delay("you")
            assert stored(app) == []
        assert sorted(stored(app)) == sorted([first.id, second.id])
    finally:
        connections["theirs"].close()


def test_another_database_is_refused_and_the_transaction_goes_on(
    app: Duly, greet: Any, postgres: PostgresServer
) -> None:
    postgres.create_database("other")
    with psycopg.connect(postgres.conninfo("other")) as mine:
        mine.execute("CREATE TABLE t (x int)")
        with pytest.raises(ConfigError, match="another database"):
            greet.using(mine).delay("you")
        mine.execute("INSERT INTO t VALUES (1)")
    assert stored(app) == []


def test_other_kinds_of_connections_are_refused(app: Duly, greet: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"psycopg 3 connection.*SQLAlchemy.*Django"):
        greet.using(object()).delay("you")
    sqlite = Duly("small", store=f"sqlite:///{tmp_path / 'x.db'}")

    @sqlite.task
    def small() -> None: ...

    with pytest.raises(ConfigError, match="PostgreSQL"):
        small.using(object())
    sqlite.close()


def test_wrong_arguments_leave_the_transaction_as_it_is(app: Duly, greet: Any, postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.conninfo()) as mine:
        mine.execute("SELECT 1")
        with pytest.raises(TypeError):
            greet.using(mine).delay()
        with pytest.raises(ValueError, match="priority"):
            greet.using(mine).apply_async(["you"], priority=99)
        kept = greet.using(mine).delay("you")
    assert stored(app) == [kept.id]
