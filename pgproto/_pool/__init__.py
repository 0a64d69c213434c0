"""The pool machine: a pool of sessions as a state machine, without sessions, clock or I/O.

`PoolMachine` decides; a transport carries out its actions. `_machine.py` shows how, and `_engine.py` what
states a session goes through.
"""

from __future__ import annotations

from pgproto._pool._actions import (
    Action,
    Check,
    Close,
    Closed,
    Grant,
    Hook,
    Open,
    Refuse,
    ReportLeak,
    Reset,
    RunHook,
    Step,
    WakeAt,
)
from pgproto._pool._checked import CheckedPoolMachine
from pgproto._pool._config import PoolConfig, Recycle
from pgproto._pool._machine import PoolMachine
from pgproto._pool._recycling import CLEAN, LOST, RENEWED, Report
from pgproto._pool._slots import Slot, SlotState, Ticket, TicketKind, TicketState
from pgproto._pool._status import PoolStatus, SessionStatus

__all__ = [
    "CLEAN",
    "LOST",
    "RENEWED",
    "Action",
    "Check",
    "CheckedPoolMachine",
    "Close",
    "Closed",
    "Grant",
    "Hook",
    "Open",
    "PoolConfig",
    "PoolMachine",
    "PoolStatus",
    "Recycle",
    "Refuse",
    "Report",
    "ReportLeak",
    "Reset",
    "RunHook",
    "SessionStatus",
    "Slot",
    "SlotState",
    "Step",
    "Ticket",
    "TicketKind",
    "TicketState",
    "WakeAt",
]
