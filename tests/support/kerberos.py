"""A Kerberos realm on the loopback interface, for a server and a user. Standard library only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

from tests.support.binaries import Unavailable
from tests.support.clusters import free_port

__all__ = ["REALM", "Realm", "realm"]

REALM = "EXAMPLE.TEST"

_PATH = "/usr/sbin:/usr/local/sbin:/usr/lib/mit/sbin:" + os.environ.get("PATH", os.defpath)
_PASSWORD = "master"

_CLIENT = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
"""
_KDC = """
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principals
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
  }}
"""


class Realm:
    """Its files, and tickets for users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder / 'tickets'}",
        }

    def add_user(self, name: str, password: str) -> None:
        """Make a principal with a password."""
        self._administer(f"addprinc -pw {password} {name}")

    def add_service(self, name: str) -> bytes:
        """Make a principal with a random key; returns the keytab."""
        keytab = self.folder / "keytab"
        self._administer(f"addprinc -randkey {name}")
        self._administer(f"ktadd -k {keytab} {name}")
        return keytab.read_bytes()

    def log_in(self, name: str, password: str) -> None:
        """Get a ticket, into the file that the environment names."""
        self.run("kinit", name, stdin=password + "\n")

    def _administer(self, command: str) -> None:
        self.run("kadmin.local", "-q", command)

    def run(self, program: str, *arguments: str, stdin: str = "") -> None:
        """Run one of Kerberos's programs. Raises RuntimeError, and Unavailable if it is not here."""
        answer = subprocess.run(
            [find(program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            check=False,
        )
        if answer.returncode != 0:
            raise RuntimeError(f"{program} failed: {answer.stderr}")


def find(program: str) -> str:
    """The path of a program. Raises Unavailable."""
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise Unavailable(
            f"{program} is not here; install the packages krb5-kdc, krb5-admin-server, krb5-user"
        )
    return found


@contextlib.contextmanager
def realm(folder: Path) -> Generator[Realm, None, None]:
    """A realm whose KDC runs as long as the block does. Raises Unavailable."""
    names = {"realm": REALM, "port": free_port(), "folder": folder}
    (folder / "krb5.conf").write_text(_CLIENT.format(**names))
    (folder / "kdc.conf").write_text(_KDC.format(**names))
    made = Realm(folder)
    made.run("kdb5_util", "create", "-s", "-r", REALM, "-P", _PASSWORD)
    command = [find("krb5kdc"), "-n", "-r", REALM]
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env={**os.environ, **made.environment}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            while "starting" not in log.read_text() and process.poll() is None:
                time.sleep(0.005)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
