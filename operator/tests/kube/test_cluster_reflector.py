"""A cache that a list and a watch keep current, with an API of the test and a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.reflector import MAX_REFUSED_SECONDS, PAUSES_SECONDS, RESYNC_SECONDS, ObjectList, Reflector
from rtppool_testing.waiting import until

pytestmark = pytest.mark.looptime

Document = dict[str, Any]


def thing(name: str, version: int, **metadata: Any) -> Document:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), **metadata}}


def event(kind: str, document: Document) -> Document:
    return {"type": kind, "object": document}


def bookmark(version: int) -> Document:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


@dataclass
class Things(ObjectList):
    """An API of things: what it lists, and the events of its watch. None ends a watch."""

    name: str = "things"
    listed: list[Document] = field(default_factory=list)
    version: int = 1
    read_seconds: float = 0.0
    fails: list[ClusterError] = field(default_factory=list)
    reads: list[dict[str, str]] = field(default_factory=list)
    watched_from: list[str] = field(default_factory=list)
    events: asyncio.Queue[Document | ClusterError | None] = field(default_factory=asyncio.Queue)

    async def read(self, query: Mapping[str, str]) -> Document:
        self.reads.append(dict(query))
        await asyncio.sleep(self.read_seconds)
        if self.fails:
            raise self.fails.pop(0)
        return {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.listed)}

    @asynccontextmanager
    async def changes(self, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Document]]:
        assert seconds == RESYNC_SECONDS
        self.watched_from.append(version)
        yield self._events()

    async def _events(self) -> AsyncIterator[Document]:
        while (each := await self.events.get()) is not None:
            if isinstance(each, ClusterError):
                raise each
            yield each


@pytest.fixture
def things() -> Things:
    return Things(listed=[thing("a", 1)])


def name_of(document: Mapping[str, Any]) -> str | None:
    metadata = document["metadata"]
    return None if metadata.get("unseen") else f"{metadata['name']} {metadata.get('colour', 'red')}"


@pytest.fixture
async def reflector(things: Things) -> AsyncIterator[Reflector[str]]:
    made = Reflector(things, name_of, monotonic=asyncio.get_running_loop().time)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def problem_of(reflector: Reflector[str]) -> str | None:
    """The problem as it is now: a type checker takes an attribute for what an earlier line found."""
    return reflector.problem


def names(reflector: Reflector[str]) -> set[str]:
    return set(reflector.items.values())


async def test_nothing_is_current_before_the_first_list(things: Things) -> None:
    made = Reflector(things, name_of)
    assert made.problem == "things were not listed yet"


async def test_it_lists_and_then_watches_from_the_version_of_the_list(
    things: Things, reflector: Reflector[str]
) -> None:
    await until(lambda: things.watched_from == ["1"])
    assert (names(reflector), reflector.problem, things.reads) == ({"a red"}, None, [{}])


async def test_events_add_change_and_delete(things: Things, reflector: Reflector[str]) -> None:
    for each in (
        event("ADDED", thing("b", 2)),
        event("MODIFIED", thing("a", 3, colour="blue")),
        event("ADDED", thing("c", 4)),
        event("DELETED", thing("b", 5)),
        event("MODIFIED", thing("c", 6, unseen=True)),
    ):
        things.events.put_nowait(each)
    await until(lambda: names(reflector) == {"a blue"})
    assert len(things.reads) == 1


async def test_items_that_were_read_never_change(things: Things, reflector: Reflector[str]) -> None:
    await until(lambda: things.watched_from == ["1"])
    before = reflector.items
    things.events.put_nowait(event("ADDED", thing("b", 2)))
    await until(lambda: "uid-b" in reflector.items)
    assert dict(before) == {"uid-a": "a red"}


async def test_a_watch_that_has_ended_is_compared_with_a_list_of_the_version_that_it_has_reached(
    things: Things, reflector: Reflector[str]
) -> None:
    things.events.put_nowait(bookmark(7))
    await asyncio.sleep(RESYNC_SECONDS)
    things.version, things.listed = 7, [thing("a", 5, colour="blue"), thing("b", 6)]
    things.events.put_nowait(None)
    await until(lambda: len(things.reads) == 2)
    assert things.reads[1] == {"resourceVersion": "7", "resourceVersionMatch": "Exact"}
    await until(lambda: things.watched_from == ["1", "7"])
    assert (names(reflector), reflector.corrections) == ({"a blue", "b red"}, 2)


async def test_a_watch_that_missed_nothing_is_not_corrected(things: Things, reflector: Reflector[str]) -> None:
    things.events.put_nowait(event("ADDED", thing("b", 2)))
    await asyncio.sleep(RESYNC_SECONDS)
    things.version, things.listed = 2, [thing("a", 1), thing("b", 2)]
    things.events.put_nowait(None)
    await until(lambda: len(things.watched_from) == 2)
    assert reflector.corrections == 0


async def test_a_version_that_the_server_no_longer_has_is_followed_by_a_list_of_the_latest(
    things: Things, reflector: Reflector[str]
) -> None:
    await asyncio.sleep(RESYNC_SECONDS)
    things.version, things.listed = 900, [thing("b", 900)]
    things.fails.append(ClusterError("list things: 410 too old", 410))
    things.events.put_nowait(None)
    await until(lambda: names(reflector) == {"b red"})
    assert things.reads[1:] == [{"resourceVersion": "1", "resourceVersionMatch": "Exact"}, {}]
    assert reflector.corrections == 0, "what happened between is no fault of the watch"


@pytest.mark.parametrize(
    "end",
    [
        event("ERROR", {"code": 410, "message": "too old resource version"}),
        event("ERROR", {"code": 500, "message": "etcdserver: request timed out"}),
        ClusterError("watch things: the API server can't be reached"),
        {"unknown": "form"},
        event("ADDED", {"metadata": None}),
    ],
)
async def test_a_lost_watch_is_followed_by_a_list(
    things: Things, reflector: Reflector[str], end: Document | ClusterError
) -> None:
    await asyncio.sleep(60)
    things.version, things.listed = 9, [thing("b", 9)]
    things.events.put_nowait(end)
    await until(lambda: things.watched_from == ["1", "9"])
    assert (names(reflector), things.reads[1], reflector.corrections) == ({"b red"}, {}, 0)


async def test_a_list_that_fails_leaves_the_items_and_names_the_problem_until_one_succeeds(
    things: Things, reflector: Reflector[str]
) -> None:
    await asyncio.sleep(60)
    things.fails = [ClusterError("list things: 503 shutting down", 503)] * 2
    things.events.put_nowait(ClusterError("watch things: the API server can't be reached"))
    await until(lambda: reflector.problem == "list things: 503 shutting down")
    assert names(reflector) == {"a red"}
    await until(lambda: reflector.problem is None)


async def test_an_answer_that_is_no_list_is_a_problem(things: Things, reflector: Reflector[str]) -> None:
    things.listed = [{"metadata": {}}]
    things.events.put_nowait(None)
    await until(lambda: reflector.problem == "list things: the response is not a list")


async def test_a_server_that_ends_each_watch_at_once_is_asked_in_pauses(
    things: Things, reflector: Reflector[str]
) -> None:
    for _ in range(40):
        things.events.put_nowait(None)
    await asyncio.sleep(60)
    assert reflector.problem is None
    assert len(things.reads) <= len(PAUSES_SECONDS) + 60 / PAUSES_SECONDS[-1]


async def test_an_event_of_another_watch_counts_once_and_an_older_one_not_at_all(
    things: Things, reflector: Reflector[str]
) -> None:
    await until(lambda: things.watched_from == ["1"])
    reflector.take("MODIFIED", thing("a", 5, colour="blue"))
    reflector.take("ADDED", thing("b", 6))
    reflector.take("DELETED", thing("b", 7))
    assert names(reflector) == {"a blue"}
    for each in (event("MODIFIED", thing("a", 4, colour="green")), event("ADDED", thing("b", 6)), bookmark(7)):
        things.events.put_nowait(each)
    await until(things.events.empty)
    assert names(reflector) == {"a blue"}


async def test_a_write_of_this_program_shows_at_once_and_its_event_is_none(things: Things) -> None:
    changes: list[int] = []
    made = Reflector(things, name_of, lambda _before, _after: changes.append(1))
    made.take("ADDED", thing("a", 1))
    made.put("uid-a", "3", "a blue")
    for version, colour in ((2, "green"), (3, "blue")):
        made.take("MODIFIED", thing("a", version, colour=colour))
    assert (names(made), changes) == ({"a blue"}, [1])
    made.take("MODIFIED", thing("a", 4))
    assert (names(made), changes) == ({"a red"}, [1, 1])


async def test_what_a_write_returned_does_not_replace_what_came_after_it(things: Things) -> None:
    made = Reflector(things, name_of)
    made.take("MODIFIED", thing("a", 4))
    made.put("uid-a", "3", "a blue")
    assert names(made) == {"a red"}


async def test_a_part_that_was_written_shows_until_the_next_event(things: Things) -> None:
    made = Reflector(things, name_of)
    made.take("ADDED", thing("a", 1))
    made.amend("uid-a", "3", str.upper)
    made.amend("uid-gone", "3", str.upper)
    assert names(made) == {"A RED"}
    made.take("MODIFIED", thing("a", 2))
    assert names(made) == {"a red"}, "this event came before the write, and has the other parts"


async def test_what_is_newer_than_a_whole_watch_is_no_correction_of_it(
    things: Things, reflector: Reflector[str]
) -> None:
    things.events.put_nowait(bookmark(7))
    await asyncio.sleep(RESYNC_SECONDS)
    reflector.put("uid-a", "8", "a blue")
    things.version = 7
    things.events.put_nowait(None)
    await until(lambda: things.watched_from == ["1", "7"])
    assert reflector.corrections == 0


@pytest.mark.parametrize(("version", "corrections"), [("8", 0), ("7", 1)])
async def test_an_own_write_that_is_newer_than_a_whole_watch_is_no_correction_of_it(
    things: Things, reflector: Reflector[str], version: str, corrections: int
) -> None:
    things.events.put_nowait(bookmark(7))
    await asyncio.sleep(RESYNC_SECONDS)
    reflector.amend("uid-a", version, str.upper)
    things.version = 7
    things.events.put_nowait(None)
    await until(lambda: things.watched_from == ["1", "7"])
    assert reflector.corrections == corrections


RESTART = ClusterError("watch things: the API server can't be reached")
BEHIND = "list things: the API server is behind, its list is older than an earlier answer"


async def test_a_list_older_than_an_earlier_answer_is_refused_until_the_server_is_current(
    things: Things, reflector: Reflector[str]
) -> None:
    things.events.put_nowait(event("MODIFIED", thing("a", 8, colour="blue")))
    await asyncio.sleep(60)
    things.version, things.listed = 7, [thing("a", 1)]
    things.events.put_nowait(RESTART)
    await until(lambda: reflector.problem == BEHIND)
    await asyncio.sleep(MAX_REFUSED_SECONDS / 2)
    assert (names(reflector), reflector.problem) == ({"a blue"}, BEHIND)
    things.version, things.listed = 8, [thing("a", 8, colour="blue")]
    await asyncio.sleep(PAUSES_SECONDS[-1])
    assert (names(reflector), reflector.problem) == ({"a blue"}, None)


async def test_a_bookmark_and_writes_of_this_program_are_earlier_answers(
    things: Things, reflector: Reflector[str]
) -> None:
    answers: dict[int, Callable[[], None]] = {
        20: lambda: things.events.put_nowait(bookmark(20)),
        25: lambda: reflector.amend("uid-a", "25", str.upper),
        30: lambda: reflector.put("uid-a", "30", "a blue"),
        40: lambda: reflector.take("DELETED", thing("a", 40)),
    }
    for version, answer in answers.items():
        await asyncio.sleep(60)
        answer()
        await until(things.events.empty)
        things.version = version - 1
        things.events.put_nowait(RESTART)
        await until(lambda: reflector.problem == BEHIND)
        things.version = version
        await until(lambda: reflector.problem is None)


async def test_a_state_that_stays_older_comes_from_a_backup_and_counts(
    things: Things, reflector: Reflector[str]
) -> None:
    things.events.put_nowait(event("MODIFIED", thing("a", 8, colour="blue")))
    await asyncio.sleep(60)
    things.version, things.listed = 7, [thing("a", 1), thing("b", 6)]
    things.events.put_nowait(RESTART)
    await asyncio.sleep(MAX_REFUSED_SECONDS + PAUSES_SECONDS[-1])
    assert (names(reflector), reflector.problem, things.watched_from) == ({"a red", "b red"}, None, ["1", "7"])
    things.events.put_nowait(event("MODIFIED", thing("a", 8, colour="green")))
    await until(lambda: "a green" in names(reflector))


async def test_an_object_that_a_list_no_longer_has_does_not_come_back_by_an_older_event_of_another_watch(
    things: Things, reflector: Reflector[str]
) -> None:
    things.version, things.listed = 9, [thing("b", 9)]
    await asyncio.sleep(60)
    things.events.put_nowait(RESTART)
    await until(lambda: names(reflector) == {"b red"})
    reflector.take("ADDED", thing("a", 1))
    assert names(reflector) == {"b red"}
    reflector.take("ADDED", thing("a", 10))
    assert names(reflector) == {"a red", "b red"}


async def test_a_list_of_the_version_that_a_watch_has_reached_takes_nothing_back_that_came_from_elsewhere(
    things: Things, reflector: Reflector[str]
) -> None:
    things.events.put_nowait(bookmark(7))
    await asyncio.sleep(RESYNC_SECONDS)
    reflector.put("uid-a", "8", "a blue")
    reflector.take("ADDED", thing("b", 9))
    reflector.take("DELETED", thing("c", 10))
    things.version, things.listed = 7, [thing("a", 1), thing("c", 6), thing("d", 5)]
    things.events.put_nowait(None)
    await until(lambda: things.watched_from == ["1", "7"])
    assert names(reflector) == {"a blue", "b red", "d red"}


async def test_an_answer_that_arrives_while_a_list_is_read_makes_the_list_not_too_old(
    things: Things, reflector: Reflector[str]
) -> None:
    await asyncio.sleep(60)
    things.read_seconds, things.version = 2.0, 5
    things.events.put_nowait(RESTART)
    await asyncio.sleep(1)
    reflector.put("uid-a", "6", "a blue")
    await until(lambda: len(things.watched_from) == 2)
    assert (names(reflector), reflector.problem) == ({"a blue"}, None)


async def test_an_older_bookmark_does_not_lead_back(things: Things, reflector: Reflector[str]) -> None:
    for version in (7, 4):
        things.events.put_nowait(bookmark(version))
    await asyncio.sleep(RESYNC_SECONDS)
    things.version = 7
    things.events.put_nowait(None)
    await until(lambda: things.watched_from == ["1", "7"])
    assert (things.reads[1]["resourceVersion"], reflector.problem) == ("7", None)


async def test_items_that_are_listed_anew_are_out_of_date_until_the_list(
    things: Things, reflector: Reflector[str]
) -> None:
    await asyncio.sleep(60)
    things.version, things.listed, things.read_seconds = 9, [thing("b", 9)], 1.0
    for _ in range(2):
        reflector.list_anew()
    assert reflector.problem == "things are being listed"
    await asyncio.sleep(1.5)
    assert (names(reflector), problem_of(reflector), things.reads) == ({"b red"}, None, [{}, {}])
    assert reflector.corrections == 0
    await until(lambda: things.watched_from == ["1", "9"])


async def test_a_list_under_way_is_not_recent_enough_to_be_listed_anew(
    things: Things, reflector: Reflector[str]
) -> None:
    await asyncio.sleep(60)
    things.read_seconds = 1.0
    things.events.put_nowait(RESTART)
    await until(lambda: len(things.reads) == 2)
    await asyncio.sleep(0.5)
    reflector.list_anew()
    await asyncio.sleep(0.7)
    assert reflector.problem == "things are being listed"
    await until(lambda: reflector.problem is None)
    assert len(things.reads) == 3


async def test_a_cause_is_logged_once_until_a_watch_was_healthy(
    things: Things, reflector: Reflector[str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await asyncio.sleep(60)
        things.fails = [ClusterError("list things: 503 shutting down", 503)] * 9
        things.events.put_nowait(ClusterError("watch things: reset"))
        await until(lambda: not things.fails and reflector.problem is None)
        await asyncio.sleep(60)
    assert (
        caplog.messages
        == [
            "the cache of things starts over: watch things: reset",
            "the cache of things starts over: list things: 503 shutting down",
        ]
        * 2
    )
