"""Signals with their default effect: under nohup, or in the background of a shell, some of them are ignored."""

from __future__ import annotations

import signal
from typing import Any

DEFAULT = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


def heed_signals() -> dict[signal.Signals, Any]:
    """Give signals their default effect in this process, and return their handlers of before."""
    return {each: signal.signal(each, handler) for each, handler in DEFAULT.items()}
