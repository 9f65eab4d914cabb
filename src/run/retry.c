#include "run/retry.h"

#include <stdlib.h>
#include <string.h>

#define MOST_RETRIES 100

static const char *const names[GT_RETRY_CLASS_COUNT] = {
	[GT_RETRY_ERROR] = "error",
	[GT_RETRY_CRASH] = "crash",
	[GT_RETRY_TIMEOUT] = "timeout",
	[GT_RETRY_MEMORY] = "memory",
	[GT_RETRY_PROTOCOL] = "protocol",
	[GT_RETRY_KILLED] = "killed",
	[GT_RETRY_HOST] = "host",
	[GT_RETRY_LEAKED] = "leaked",
};

// Class of a word of `length` bytes; GT_RETRY_CLASS_COUNT if there is none.
static enum gt_retry_class class_of(const char *word, size_t length)
{
	enum gt_retry_class c = 0;
	while (c < GT_RETRY_CLASS_COUNT &&
	       (strlen(names[c]) != length || strncmp(names[c], word, length) != 0))
		c++;
	return c;
}

void gt_retries_init(struct gt_retries *retries)
{
	*retries = (struct gt_retries){0};
	retries->most[GT_RETRY_KILLED] = 1;
	retries->most[GT_RETRY_HOST] = 1;
	retries->most[GT_RETRY_TIMEOUT] = 1;
}

gt_code gt_retries_set(struct gt_retries *retries, const char *text, struct gt_err *err)
{
	const char *equals = strchr(text, '=');
	const char *number = equals ? equals + 1 : text;
	char *end;
	long most = strtol(number, &end, 10);
	if (*number < '0' || *number > '9' || *end || most > MOST_RETRIES)
		return gt_fail(err, GT_BAD_USAGE, "flag '--retries': '%s' is not a number from 0 to %d",
		               number, MOST_RETRIES);
	enum gt_retry_class only = equals ? class_of(text, (size_t)(equals - text))
	                                  : GT_RETRY_CLASS_COUNT;
	if (equals && only == GT_RETRY_CLASS_COUNT)
		return gt_fail(err, GT_BAD_USAGE,
		               "flag '--retries': there is no class '%.*s'; classes are error, crash, "
		               "timeout, memory, protocol, killed, host, leaked",
		               (int)(equals - text), text);
	for (enum gt_retry_class c = 0; c < GT_RETRY_CLASS_COUNT; c++)
		if (only == GT_RETRY_CLASS_COUNT || c == only)
			retries->most[c] = (int)most;
	return GT_OK;
}

json_t *gt_retries_to_json(const struct gt_retries *retries)
{
	json_t *json = json_object();
	for (enum gt_retry_class c = 0; c < GT_RETRY_CLASS_COUNT; c++)
		gt_json_set(json, names[c], json_integer(retries->most[c]));
	return json;
}

bool gt_retry_again(const struct gt_retries *retries, struct gt_failures *failures, const char *why)
{
	enum gt_retry_class c = class_of(why, strcspn(why, ":"));
	return c < GT_RETRY_CLASS_COUNT && ++failures->times[c] <= retries->most[c];
}

bool gt_retry_alone(const struct gt_failures *failures)
{
	return failures->times[GT_RETRY_TIMEOUT] > 0;
}
