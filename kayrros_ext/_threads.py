"""Calls in daemon threads, which don't keep the program alive."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def run_in_daemon(function: Callable[[], _T], name: str) -> Future[_T]:
    """Call a function in a daemon thread; in this one if none can start: the program ends, or has as many as it may."""
    future = Future[_T]()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    try:
        threading.Thread(target=run, daemon=True, name=name).start()
    except RuntimeError:
        run()
    return future
