"""Making a connection, and cancelling what one is doing: flows of effects, the same for every transport.

`connect` leads from a `Config` to an `Established` session, `cancel` from there to a cancelled request. The
story begins in `_connect`.
"""

from __future__ import annotations

from pgproto._connecting._cancel import cancel
from pgproto._connecting._connect import connect
from pgproto._connecting._established import Established, Route

__all__ = ["Established", "Route", "cancel", "connect"]
