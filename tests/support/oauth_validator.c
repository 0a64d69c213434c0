/*
 * An OAuth validator module for PostgreSQL 18 and later: the token "token-of-NAME" proves that one is NAME.
 *
 * The declarations of libpq/oauth.h stand here again, because that file needs headers of OpenSSL and Kerberos.
 */
#include "postgres.h"
#include "fmgr.h"

typedef struct
{
	bool		authorized;
	char	   *authn_id;
} ValidatorModuleResult;

typedef struct
{
	uint32		magic;
	void		(*startup_cb) (void *state);
	void		(*shutdown_cb) (void *state);
	bool		(*validate_cb) (const void *state, const char *token, const char *role,
								ValidatorModuleResult *result);
} OAuthValidatorCallbacks;

PG_MODULE_MAGIC;

static const char prefix[] = "token-of-";

static bool
validate(const void *state, const char *token, const char *role, ValidatorModuleResult *result)
{
	result->authorized = strncmp(token, prefix, strlen(prefix)) == 0;
	if (result->authorized)
		result->authn_id = pstrdup(token + strlen(prefix));
	return true;
}

PGDLLEXPORT const OAuthValidatorCallbacks *
_PG_oauth_validator_module_init(void)
{
	static const OAuthValidatorCallbacks callbacks = {0x20250220, NULL, NULL, validate};

	return &callbacks;
}
