"""What effects show of themselves."""

from __future__ import annotations

from pgproto._effects import FileContents, Send, TCPAddress, UnixAddress


def test_no_bytes_in_what_can_be_seen() -> None:
    assert repr(Send(b"canary")) == "Send(<6 bytes>)"
    assert (
        repr(FileContents(b"canary", 0o100600, 1000))
        == "FileContents(data=<6 bytes>, mode=0o100600, owner=1000)"
    )


def test_addresses_as_people_write_them() -> None:
    assert str(TCPAddress("192.0.2.1", 5432)) == "192.0.2.1:5432"
    assert str(TCPAddress("2001:db8::1", 5432)) == "[2001:db8::1]:5432"
    assert str(UnixAddress("/run/.s.PGSQL.5432")) == "/run/.s.PGSQL.5432"
