import asyncio
from collections.abc import AsyncIterator

from ag_ui.core import BaseEvent, RawEvent

from koel_tui.protocol import Event, KoelError
from koel_tui.session.run import Run, wait_finished
from tests.session.helpers import other_tasks


class Log:
    """Records the reports of a run."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failures: list[KoelError] = []
        self.ends = 0

    def run(self) -> Run:
        return Run(
            on_event=self._on_event,
            on_failure=self.failures.append,
            on_end=self._end,
        )

    def _on_event(self, event: Event) -> bool:
        self.events.append(event)
        return False

    def _end(self) -> None:
        self.ends += 1


async def _raw(count: int) -> AsyncIterator[BaseEvent]:
    for number in range(count):
        yield RawEvent(event=number)


async def test_a_run_without_a_last_event_fails_and_ends_once() -> None:
    log = Log()
    run = log.run()
    await run.start(lambda: _raw(2))
    await run.wait_over()
    assert [len(log.events), len(log.failures), log.ends] == [2, 1, 1]


async def test_an_abandoned_run_reports_nothing_more_and_closes_its_agent() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[BaseEvent]:
        try:
            while True:
                yield RawEvent(event=0)
        finally:
            closed.set()

    log = Log()
    run = log.run()
    task = run.start(endless)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.abandon()
    seen = len(log.events)
    assert seen > 0
    await wait_finished([task])
    assert closed.is_set()
    assert [len(log.events), len(log.failures), log.ends] == [seen, 0, 0]
    assert other_tasks() == set()


async def test_a_run_begins_after_the_earlier_ones_have_released_the_agent() -> None:
    earlier: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    log = Log()
    task = log.run().start(lambda: _raw(1), [earlier])
    await asyncio.sleep(0)
    assert log.events == []
    earlier.set_result(None)
    await task
    assert len(log.events) == 1


async def test_a_failure_while_the_agent_closes_does_not_undo_the_end() -> None:
    class Clumsy:
        def __aiter__(self) -> AsyncIterator[BaseEvent]:
            return _raw(1)

        async def aclose(self) -> None:
            raise RuntimeError("already gone")

        async def __anext__(self) -> BaseEvent:
            raise StopAsyncIteration

    log = Log()
    await log.run().start(Clumsy)
    assert log.ends == 1
    assert len(log.failures) == 1
