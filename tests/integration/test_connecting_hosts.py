"""A primary and its replica, of every major version; libpq of the same version is the oracle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.flows import PlainTransport, connected
from tests.support.landings import address, attempt, both
from tests.support.servers import DEFAULT_HBA, Server

TARGETS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
NOBODY = 1
"""A port that no server of another process will ever have."""


@dataclass
class Pair:
    """Two servers, and a port where there is none."""

    primary: Server
    replica: Server
    nobody: int = NOBODY

    def parameters(self, ports: tuple[int, ...], **more: str) -> dict[str, str]:
        hosts = ",".join([self.primary.host] * len(ports))
        where = {"host": hosts, "port": ",".join(map(str, ports)), "dbname": self.primary.database}
        return {**where, "user": "alice", "password": "wonderland", "sslmode": "disable", **more}

    def both(self, ports: tuple[int, ...], **more: str) -> int | None:
        """The port where we and libpq both end; None if both fail."""
        landing = both(self.primary.major, self.parameters(ports, **more))
        return None if landing is None else landing.port

    def truth(self) -> dict[str, str]:
        """For each target and order of hosts, which is chosen: p, r or none, in the order of `ORDERS`."""
        ports = {"p": self.primary.port, "r": self.replica.port, "-": self.nobody}
        names = {port: name for name, port in ports.items()} | {None: "-"}
        return {
            target: " ".join(
                names[self.both(tuple(ports[name] for name in order), target_session_attrs=target)]
                for order in ORDERS
            )
            for target in TARGETS
        }


ORDERS = ("p", "r", "pr", "rp", "-rp", "p-r")


def chosen(rule: str) -> str:
    """The row of the table for what a target accepts: all that come first, or the best before the others."""
    first, *others = [set(each) for each in rule.split(">")]
    found: list[str] = []
    for order in ORDERS:
        best = [name for wanted in (first, *others) for name in order if name in wanted]
        found.append(best[0] if best else "-")
    return " ".join(found)


@pytest.fixture
def pair(every_major: int, request: pytest.FixtureRequest) -> Iterator[Pair]:
    hba = getattr(request, "param", DEFAULT_HBA)
    with Server(every_major, hba=hba) as primary, primary.replica() as replica:
        yield Pair(primary, replica)


@pytest.mark.parametrize(
    "pair", [("host all all 127.0.0.1/32 trust", *DEFAULT_HBA)], indirect=True, ids=["trust"]
)
def test_the_truth_table(pair: Pair) -> None:
    p, r, either, none = chosen("p"), chosen("r"), chosen("pr"), chosen("")
    before = {
        "any": either,
        "read-write": p,
        "read-only": r,
        "primary": p,
        "standby": r,
        "prefer-standby": chosen("r>p"),
    }
    assert pair.truth() == before

    pair.primary.configure(default_transaction_read_only="on")
    assert pair.truth() == {**before, "read-write": none, "read-only": either}
    pair.primary.configure(default_transaction_read_only="off")

    pair.replica.promote()
    after = {**before, "read-write": either, "read-only": none, "primary": either, "standby": none}
    assert pair.truth() == {**after, "prefer-standby": either}

    pair.primary.stop()
    only = dict.fromkeys(("any", "read-write", "primary", "prefer-standby"), r)
    assert pair.truth() == {"read-only": none, "standby": none, **only}


def test_when_another_host_is_tried(pair: Pair) -> None:
    here, there, nowhere = pair.primary.port, pair.replica.port, pair.nobody
    assert pair.both((nowhere, here)) == here
    assert pair.both((nowhere,)) is None
    # Another host would say the same.
    assert pair.both((here, there), password="wrong") is None
    assert pair.both((nowhere, here), password="wrong") is None
    assert pair.both((here, there), dbname="nowhere") is None

    pair.primary.psql("create role idle login connection limit 0 password 'wonderland'")
    assert pair.both((here, there), user="idle") is None

    # A server that shuts down when its sessions have ended takes no others, and says that it cannot now.
    with PlainTransport() as transport:
        connected(transport, pair.primary.dsn_for("alice"))
        assert pair.primary.pid is not None
        os.kill(pair.primary.pid, signal.SIGTERM)
        while "received smart shutdown request" not in pair.primary.log:
            time.sleep(0.002)
        assert "CannotConnectNow" in str(attempt(pair.parameters((here,))))
        assert pair.both((here, there)) == there
        assert pair.both((here,)) is None


def test_the_password_file_is_asked_for_each_host(plain_postgres: Server, tmp_path: Path) -> None:
    passfile = tmp_path / "passwords"
    port, nobody = str(plain_postgres.port), str(NOBODY)
    here = {name: value for name, value in address(plain_postgres).items() if name != "password"}
    by_address = {name: value for name, value in here.items() if name != "host"}
    twice = {**here, "host": "one,two", "hostaddr": "127.0.0.1,127.0.0.1", "port": f"{nobody},{port}"}

    def reached(parameters: dict[str, str], *lines: str, mode: int = 0o600) -> bool:
        passfile.write_text("".join(f"{line}\n" for line in lines))
        passfile.chmod(mode)
        return both(plain_postgres.major, {**parameters, "passfile": str(passfile)}) is not None

    assert reached(here, "# passwords", "db.example:1:*:alice:wrong", f"db.example:{port}:*:alice:wonderland")
    assert reached(here, "*:*:postgres:*:wonderland", "*:*:*:*:wrong")
    assert not reached(here, "*:*:*:*:wrong", "*:*:postgres:*:wonderland")
    assert not reached(here, "127.0.0.1:*:*:alice:wonderland")
    assert not reached(here, "*:*:*:alice:wonderland", mode=0o644)
    assert reached(by_address, "127.0.0.1:*:*:alice:wonderland")
    assert reached(twice, "one:*:*:*:wrong", "two:*:*:*:wonderland")
    assert not reached(twice, "one:*:*:*:wonderland", "two:*:*:*:wrong")
