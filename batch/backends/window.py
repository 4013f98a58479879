"""The same work on a stream of lines by a few threads: never more lines taken than threads can be busy with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from batch.answers import Answer, Stop
from batch.lines import Line

Work = Callable[[Line], "Answer | None"]


def spread(lines: Iterable[Line], work: Work, in_flight: int, stop: Stop) -> Iterator[Sequence[Answer]]:
    """The answers to lines, in groups of those that have become ready together; after a stop, only to lines begun.

    in_flight: lines worked on at a time; the same number waits, so that no thread idles while answers are kept.
    work: None for a line that is to be found again by a later run. What it raises ends everything.
    """
    with ThreadPoolExecutor(in_flight, thread_name_prefix="line") as threads:
        pending: set[Future[Answer | None]] = set()

        def guarded(line: Line) -> Answer | None:
            return None if stop.requested else work(line)

        def ready(*, most_pending: int) -> Iterator[Sequence[Answer]]:
            nonlocal pending
            while len(pending) > most_pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield [answer for future in done if (answer := future.result()) is not None]

        try:
            for line in lines:
                if stop.requested:
                    break
                pending.add(threads.submit(guarded, line))
                yield from ready(most_pending=2 * in_flight - 1)
            yield from ready(most_pending=0)
        except BaseException:
            stop.request()  # threads that wait for something give up
            threads.shutdown(wait=False, cancel_futures=True)
            raise
