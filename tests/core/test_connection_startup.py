"""How a session begins: encryption, protocol version, authentication. Client and server joined in memory."""

from __future__ import annotations

import pytest

from pgproto import NEED_DATA, Connection
from pgproto import messages as m
from pgproto._state import Phase
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message, Role
from tests.support.pair import ConnectionPair, drain

STARTUP = m.StartupMessage({"user": "u"})
OK = m.AuthenticationOk()
KEY = m.BackendKeyData(1, b"1234")
IDLE = m.ReadyForQuery("I")
REFUSAL = m.ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "28P01", "M": "password authentication failed"})
SCRAM = m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))


@pytest.fixture
def pair() -> ConnectionPair:
    return ConnectionPair()


def finish(pair: ConnectionPair) -> None:
    """From authentication to the first query."""
    pair.server_sends(m.ParameterStatus("server_version", "18.0"), KEY, IDLE)
    assert pair.client.phase is Phase.READY
    pair.client_sends(m.Query(""))


# Authentication.


def test_trust(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(OK)
    finish(pair)


@pytest.mark.parametrize("ask", [m.AuthenticationCleartextPassword(), m.AuthenticationMD5Password(b"salt")])
def test_a_password(pair: ConnectionPair, ask: Message) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(ask)
    pair.client_sends(m.PasswordMessage("secret"))
    pair.server_sends(OK)
    finish(pair)


def test_scram(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(SCRAM)
    pair.client_sends(m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x"))
    pair.server_sends(m.AuthenticationSASLContinue(b"r=xy,s=AA==,i=4096"))
    pair.client_sends(m.SASLResponse(b"c=biws,r=xy,p=AA=="))
    pair.server_sends(m.AuthenticationSASLFinal(b"v=AA=="), OK)
    finish(pair)


@pytest.mark.parametrize("heard", range(3))
def test_no_scram_without_the_servers_proof(pair: ConnectionPair, heard: int) -> None:
    """AuthenticationOk before SASLFinal is an impostor's, at whatever point it comes."""
    pair.client_sends(STARTUP)
    pair.server_sends(SCRAM)
    if heard:
        pair.client_sends(m.SASLInitialResponse("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=,r=x"))
    if heard == 2:
        pair.server_sends(m.AuthenticationSASLContinue(b"r=xy,s=AA==,i=4096"))
        pair.client_sends(m.SASLResponse(b"c=biws,r=xy,p=AA=="))
    with pytest.raises(LocalProtocolError):
        pair.server.send(OK)
    pair.client.receive_data(OK.encode())
    with pytest.raises(RemoteProtocolError):
        pair.client.next_event()


def test_sasl_of_another_kind_needs_no_final_word(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(m.AuthenticationSASL(("OAUTHBEARER",)))
    pair.client_sends(m.SASLInitialResponse("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01"))
    pair.server_sends(OK)
    finish(pair)


def test_sasl_of_another_kind_that_fails(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(m.AuthenticationSASL(("OAUTHBEARER",)))
    pair.client_sends(m.SASLInitialResponse("OAUTHBEARER"))
    pair.server_sends(m.AuthenticationSASLContinue(b'{"status":"invalid_token"}'))
    pair.client_sends(m.SASLResponse(b"\x01"))
    pair.server_sends(REFUSAL)
    assert pair.client.phase is Phase.CLOSING


def test_sasl_of_another_kind_with_a_final_word(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(m.AuthenticationSASL(("OTHER",)))
    pair.client_sends(m.SASLInitialResponse("OTHER"))
    pair.server_sends(m.AuthenticationSASLFinal(b""), OK)
    finish(pair)


@pytest.mark.parametrize("ask", [m.AuthenticationGSS(), m.AuthenticationSSPI()])
def test_gssapi(pair: ConnectionPair, ask: Message) -> None:
    """With mutual authentication, the server's token comes last, and needs no answer."""
    pair.client_sends(STARTUP)
    pair.server_sends(ask)
    pair.client_sends(m.GSSResponse(b"AP-REQ"))
    pair.server_sends(m.AuthenticationGSSContinue(b"more"))
    pair.client_sends(m.GSSResponse(b"more"))
    pair.server_sends(m.AuthenticationGSSContinue(b"AP-REP"), OK)
    finish(pair)


def test_gssapi_without_a_word_of_the_server(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(m.AuthenticationGSS())
    with pytest.raises(LocalProtocolError):
        pair.server.send(OK)
    pair.client_sends(m.GSSResponse(b"AP-REQ"))
    pair.server_sends(OK)
    finish(pair)


def test_kerberos_5_leads_nowhere(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(m.AuthenticationKerberosV5())
    assert pair.client.phase is Phase.CLOSING


@pytest.mark.parametrize("again", [OK, SCRAM, m.AuthenticationCleartextPassword()])
def test_nothing_about_authentication_once_it_is_over(pair: ConnectionPair, again: Message) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(OK)
    for connection in (pair, _started()):
        with pytest.raises(LocalProtocolError):
            connection.server.send(again)
        connection.client.receive_data(again.encode())
        with pytest.raises(RemoteProtocolError):
            connection.client.next_event()


def _started() -> ConnectionPair:
    pair = ConnectionPair()
    pair.start()
    return pair


def test_no_password_that_was_not_asked_for(pair: ConnectionPair) -> None:
    for _ in range(2):
        for secret in (m.PasswordMessage("secret"), m.SASLInitialResponse("X"), m.SASLResponse(b"")):
            with pytest.raises(LocalProtocolError):
                pair.client.send(secret)
        if pair.client.phase is Phase.START:
            pair.client_sends(STARTUP)
    pair.server_sends(OK)
    pair.server.receive_data(m.PasswordMessage("secret").encode())
    with pytest.raises(RemoteProtocolError):
        pair.server.next_event()


def test_a_refusal(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(m.AuthenticationCleartextPassword())
    pair.client_sends(m.PasswordMessage("wrong"))
    pair.server_sends(REFUSAL)
    pair.client.receive_data(b"")
    assert pair.client.next_event() is NEED_DATA
    assert pair.client.is_closed


# Encryption.


@pytest.mark.parametrize(
    ("ask", "yes"), [(m.SSLRequest(), b"S"), (m.GSSENCRequest(), b"G")], ids=["tls", "gssapi"]
)
def test_encryption(pair: ConnectionPair, ask: Message, yes: bytes) -> None:
    pair.client_sends(ask)
    pair.server_sends(m.EncryptionResponse(yes))
    assert pair.client.phase is Phase.ENCRYPTED
    # What follows the handshake.
    for request in (m.SSLRequest(), m.GSSENCRequest()):
        with pytest.raises(LocalProtocolError):
            pair.client.send(request)
    pair.client_sends(STARTUP)
    pair.server_sends(OK)
    finish(pair)


def test_a_server_without_encryption(pair: ConnectionPair) -> None:
    pair.client_sends(m.GSSENCRequest())
    pair.server_sends(m.EncryptionResponse(b"N"))
    pair.client_sends(m.SSLRequest())
    pair.server_sends(m.EncryptionResponse(b"N"))
    pair.client_sends(STARTUP)
    pair.server_sends(OK)
    finish(pair)


@pytest.mark.parametrize("ask", [m.SSLRequest(), m.GSSENCRequest()])
@pytest.mark.parametrize("more", [b"S", b"E", b"R\x00\x00\x00\x08\x00\x00\x00\x00", bytes(1000)])
@pytest.mark.parametrize("answer", [b"S", b"G", b"N"])
def test_exactly_one_byte_answers_the_request(ask: Message, answer: bytes, more: bytes) -> None:
    """What follows it in the clear is not the server's, even if it says no."""
    client = Connection(Role.FRONTEND)
    client.send(ask)
    client.receive_data(answer + more)
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_what_comes_between_the_answer_and_the_handshake_is_refused() -> None:
    for answer in (b"S", b"N"):
        client = Connection(Role.FRONTEND)
        client.send(m.SSLRequest())
        client.receive_data(answer)
        assert client.next_event() == m.EncryptionResponse(answer)
        client.receive_data(b"R\x00\x00\x00\x08\x00\x00\x00\x00")
        with pytest.raises(LocalProtocolError, match="not its turn"):
            client.send(STARTUP)
        with pytest.raises(RemoteProtocolError, match="not its turn"):
            client.next_event()


@pytest.mark.parametrize("answer", [bytes((number,)) for number in range(256)])
def test_an_answer_is_yes_or_no(answer: bytes) -> None:
    for ask, yes in ((m.SSLRequest(), b"S"), (m.GSSENCRequest(), b"G")):
        client = Connection(Role.FRONTEND)
        client.send(ask)
        client.receive_data(answer)
        if answer in (yes, b"N"):
            assert client.next_event() == m.EncryptionResponse(answer)
        else:
            with pytest.raises(RemoteProtocolError, match="neither yes nor no"):
                client.next_event()


def test_an_error_before_encryption_is_not_shown() -> None:
    """Nobody knows who has sent it."""
    client = Connection(Role.FRONTEND)
    client.send(m.SSLRequest())
    client.receive_data(m.ErrorResponse({"S": "FATAL", "M": "visit evil.example"}).encode())
    with pytest.raises(RemoteProtocolError) as caught:
        client.next_event()
    assert "evil" not in str(caught.value)


def test_a_server_answers_what_it_was_asked(pair: ConnectionPair) -> None:
    pair.client_sends(m.SSLRequest())
    with pytest.raises(LocalProtocolError, match="not an answer to the encryption asked for"):
        pair.server.send(m.EncryptionResponse(b"G"))
    pair.server_sends(m.EncryptionResponse(b"N"))
    pair.client_sends(m.GSSENCRequest())
    with pytest.raises(LocalProtocolError, match="not an answer to the encryption asked for"):
        pair.server.send(m.EncryptionResponse(b"S"))


@pytest.mark.parametrize("more", [b"\x16\x03\x01", STARTUP.encode()])
def test_a_server_does_not_encrypt_over_bytes_in_the_clear(pair: ConnectionPair, more: bytes) -> None:
    pair.server.receive_data(pair.client.send(m.SSLRequest()) + more)
    assert pair.server.next_event() == m.SSLRequest()
    with pytest.raises(LocalProtocolError, match="bytes behind its encryption request"):
        pair.server.send(m.EncryptionResponse(b"S"))
    with pytest.raises(RemoteProtocolError, match="not its turn"):
        pair.server.next_event()


# Protocol versions and keys.


def test_the_server_speaks_an_older_version(pair: ConnectionPair) -> None:
    pair.client_sends(m.StartupMessage({"user": "u", "_pq_.x": "1"}, m.PROTOCOL_3_2))
    assert pair.client.protocol_version == m.PROTOCOL_3_2
    pair.server_sends(m.NegotiateProtocolVersion(m.PROTOCOL_3_0, ("_pq_.x",)))
    assert pair.client.protocol_version == pair.server.protocol_version == m.PROTOCOL_3_0
    with pytest.raises(LocalProtocolError):
        pair.server.send(m.NegotiateProtocolVersion(m.PROTOCOL_3_0))
    pair.server_sends(OK)
    finish(pair)


@pytest.mark.parametrize("version", [0x0002_0000, 0x0002_FFFF, 0x0003_0003, 0x0004_0000, 0xFFFF_FFFF, 0])
def test_no_version_that_was_not_asked_for(pair: ConnectionPair, version: int) -> None:
    pair.client_sends(m.StartupMessage({"user": "u"}, m.PROTOCOL_3_2))
    offer = m.NegotiateProtocolVersion(version)
    with pytest.raises(LocalProtocolError, match=r"where 3\.2 was asked for"):
        pair.server.send(offer)
    pair.client.receive_data(offer.encode())
    with pytest.raises(RemoteProtocolError, match=r"where 3\.2 was asked for"):
        pair.client.next_event()


@pytest.mark.parametrize(
    ("version", "size", "good"),
    [
        (m.PROTOCOL_3_0, 4, True),
        (m.PROTOCOL_3_0, 5, False),
        (m.PROTOCOL_3_0, 32, False),
        (m.PROTOCOL_3_2, 4, True),
        (m.PROTOCOL_3_2, 32, True),
        (m.PROTOCOL_3_2, 256, True),
    ],
)
def test_the_length_of_the_secret_key(pair: ConnectionPair, version: int, size: int, good: bool) -> None:
    pair.client_sends(m.StartupMessage({"user": "u"}, version))
    pair.server_sends(OK)
    key = m.BackendKeyData(1, bytes(size))
    if good:
        pair.server_sends(key, IDLE)
        return
    with pytest.raises(LocalProtocolError, match=f"a secret key of {size} bytes"):
        pair.server.send(key)
    pair.client.receive_data(key.encode())
    with pytest.raises(RemoteProtocolError, match=f"a secret key of {size} bytes"):
        pair.client.next_event()


@pytest.mark.parametrize("size", [0, 3, 257])
def test_no_version_has_such_keys(pair: ConnectionPair, size: int) -> None:
    pair.client_sends(m.StartupMessage({"user": "u"}, m.PROTOCOL_3_2))
    pair.server_sends(OK)
    pair.client.receive_data(b"K" + (8 + size).to_bytes(4, "big") + b"\x00\x00\x00\x01" + bytes(size))
    with pytest.raises(RemoteProtocolError):
        pair.client.next_event()


def test_there_is_one_key(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(OK, KEY)
    with pytest.raises(LocalProtocolError):
        pair.server.send(KEY)
    pair.client.receive_data(KEY.encode())
    with pytest.raises(RemoteProtocolError):
        pair.client.next_event()


def test_a_session_without_a_key(pair: ConnectionPair) -> None:
    pair.client_sends(STARTUP)
    pair.server_sends(OK, IDLE)
    assert pair.client.phase is Phase.READY


def test_a_cancel_request(pair: ConnectionPair) -> None:
    pair.client_sends(m.CancelRequest(1, b"1234"))
    # The server just hangs up; what it might say is of no interest.
    for connection in (pair.client, pair.server):
        connection.receive_data(b"x")
        assert drain(connection) == []
        connection.receive_data(b"")
        assert drain(connection) == []
        assert connection.is_closed
