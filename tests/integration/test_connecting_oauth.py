"""OAUTHBEARER with PostgreSQL 18, which asks a validator of ours about the tokens."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pgproto_asyncio
from pgproto.errors import AuthenticationError, InvalidAuthorizationSpecification
from tests.support.binaries import Unavailable
from tests.support.certificates import Certificates
from tests.support.flows import PlainTransport, connected
from tests.support.landings import address
from tests.support.servers import Server

SOURCE = Path(__file__).parents[1] / "support" / "oauth_validator.c"
HBA = (
    "local all all trust",
    'host all all 127.0.0.1/32 oauth issuer="https://issuer.example" scope="openid"',
)


@pytest.fixture(scope="module")
def server(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    with Server(18, tls=certificates.server()) as server:
        headers = server.installation.prefix / "include" / "server"
        if compiler is None or not headers.is_dir():
            raise Unavailable(
                "this compiles a module for PostgreSQL 18: it needs a C compiler and the headers"
            )
        library = tmp_path_factory.mktemp("validator") / "validator.so"
        command = [compiler, "-shared", "-fPIC", f"-I{headers}", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
        place = server.write("validator.so", library.read_bytes())
        server.hba = HBA
        server.configure(oauth_validator_libraries=str(place))
        yield server


class Tokens:
    """Gives out tokens, the last one for ever."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


def verified(server: Server, certificates: Certificates) -> dict[str, str]:
    return address(server, password="", sslmode="verify-full", sslrootcert=certificates.path("root.crt"))


def test_a_token(server: Server, certificates: Certificates) -> None:
    tokens = Tokens("token-of-alice")
    for attempt in (1, 2):
        with PlainTransport() as transport:
            session = connected(transport, "", **verified(server, certificates), oauth_token=tokens)
            assert session.authentication.method == "oauth"
            assert transport.value(session, "select system_user") == "oauth:alice"
        assert tokens.asked == attempt


@pytest.mark.parametrize("token", ["forged", "token-of-mallory"])
def test_a_token_that_the_server_refuses(server: Server, certificates: Certificates, token: str) -> None:
    tokens = Tokens(token, "token-of-alice")
    with pytest.raises(
        InvalidAuthorizationSpecification, match="OAuth bearer authentication failed"
    ) as error:
        connected(PlainTransport(), "", **verified(server, certificates), oauth_token=tokens)
    assert token not in str(error.value)
    assert tokens.asked == 1
    with PlainTransport() as transport:
        connected(transport, "", **verified(server, certificates), oauth_token=tokens)


def test_no_token_for_a_server_that_has_not_shown_who_it_is(server: Server) -> None:
    tokens = Tokens("token-of-alice")
    for mode in ("disable", "require"):
        with pytest.raises(AuthenticationError, match="has not shown who it is"):
            connected(PlainTransport(), "", **address(server, sslmode=mode), oauth_token=tokens)
    assert tokens.asked == 0
    with PlainTransport() as transport:
        unverified = address(server, sslmode="require", require_auth="oauth")
        connected(transport, "", **unverified, oauth_token=tokens)


def test_no_token(server: Server, certificates: Certificates) -> None:
    with pytest.raises(AuthenticationError, match="no token provider"):
        connected(PlainTransport(), "", **verified(server, certificates))
    with pytest.raises(AuthenticationError, match="require_auth='scram-sha-256'"):
        connected(
            PlainTransport(),
            "",
            **verified(server, certificates),
            require_auth="scram-sha-256",
            oauth_token=Tokens("token-of-alice"),
        )


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_token_from_a_coroutine(server: Server, certificates: Certificates) -> None:
    async def token() -> str:
        return "token-of-alice"

    parameters: dict[str, Any] = {**verified(server, certificates)}
    async with pgproto_asyncio.connect(**parameters, oauth_token=token) as session:
        assert await session.fetchval("select system_user") == "oauth:alice"
