"""What chaos runs, and reading for them, found. Each test is the smallest form of one find."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from duly.job import Kind, Lease, Outcome
from duly.worker.board import Board, make


def outcome(id: str) -> Outcome:
    lease = Lease(1, 1, id, "t", b"", "default", 0, 0, None, 1, 0, 0, 0, None, None)
    return Outcome(lease, Kind.SUCCEEDED)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(make(), 1)
    yield board
    board.close()


def test_what_ends_while_the_journal_is_shortened_stays_in_it(board: Board) -> None:
    """A job of a thread ended after the coordinator had looked what is unsettled, and before it shortened the
    journal: then it stood nowhere, and a kill made it run again."""
    looked, noting = threading.Event(), threading.Event()

    def end_a_job() -> None:
        assert looked.wait(5)
        noting.set()
        board.note(outcome("late"))

    def look() -> list[Outcome]:
        looked.set()
        assert noting.wait(5)
        thread.join(0.05)  # a note that does not wait its turn gets all the time it needs
        return [outcome("early")]

    thread = threading.Thread(target=end_a_job)
    thread.start()
    board.keep(look)
    thread.join()
    assert [found.lease.id for found in board.unsettled()] == ["early", "late"]
