"""Connection parameters, as libpq has them: names, grammar, environment variables, files, precedence.

`parse_dsn` reads a connection string. `load_config` puts together what arguments, connection string, service
file, environment and password file say, and returns one `Config`, complete and checked.

PostgreSQL documentation: "Database Connection Control Functions" to "The Connection Service File".

`parse_dsn` gives what `PQconninfoParse` of PostgreSQL 18 gives, or raises where that fails. Beyond parsing,
this differs from libpq:

- Values are checked at once, numbers too, which libpq looks at when it needs them; flags are 0 or 1, where
  libpq takes whatever does not begin with "1" for 0; `replication` must be one of the server's words.
- `hostaddr` must be a complete numeric address ("127.1" is none).
- Where libpq has one directory for the Unix-domain socket built in, and one for pg_service.conf, the usual
  ones are tried in order; the socket's are /var/run/postgresql and /tmp, and localhost by TCP comes last. In
  the password file, "localhost" stands for all of these.
- `keepalives_idle`, `_interval` and `_count` are 30 s, 10 s and 3, and `tcp_user_timeout` is 60 s, unless
  something else is given. 0 leaves each to the operating system, which takes hours to miss a dead server.
- `connect_timeout` may be a fraction, as an argument.
- `client_encoding` must be UTF8 (or auto, which is UTF8 here); PGCLIENTENCODING is not looked at. `options`
  must not turn that, or `standard_conforming_strings`, off.
- `gssencmode=require` is refused, as by a libpq that was built without GSSAPI; `prefer` has no effect.
- LDAP lookups in service files are refused, as by a libpq that was built without LDAP.
- There is no device flow for OAuth: `oauth_token` is a function that brings the token, and `oauth_issuer`,
  `oauth_client_id`, `oauth_client_secret` and `oauth_scope` are checked and kept, for whoever writes one.
- GSSAPI is whatever `gss_context` makes, else what the package gssapi does, if it is installed; `gsslib` has
  no effect.
- An empty PGSERVICE or `service` is no service, where libpq looks for one with an empty name.
- `servicefile` is a parameter, as in libpq 19. It and this client's own parameters that are plain data may
  stand in the connection string and in service files too, where `parse_dsn` and libpq refuse them.
- An `ssl_context` without any `sslmode` makes that `require`.
- What libpq prints to standard error about a password file is in `Config.warnings`, for the log.
"""

from __future__ import annotations

from pgproto._config._config import Config
from pgproto._config._dsn import parse_dsn
from pgproto._config._hosts import HostSpec
from pgproto._config._load import load_config

__all__ = ["Config", "HostSpec", "load_config", "parse_dsn"]
