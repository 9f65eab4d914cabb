// run/retry.h - which failures are tried again, how often, and which only alone on the machine.
//
// Pure. The classes are the words of docs/formats.md "Why" up to their colon.
#ifndef GT_RUN_RETRY_H
#define GT_RUN_RETRY_H

#include "base/json.h"

enum gt_retry_class {
	GT_RETRY_ERROR,
	GT_RETRY_CRASH,
	GT_RETRY_TIMEOUT,
	GT_RETRY_MEMORY,
	GT_RETRY_PROTOCOL,
	GT_RETRY_KILLED,
	GT_RETRY_HOST,
	GT_RETRY_LEAKED,
	GT_RETRY_CLASS_COUNT
};

// Retries per class and stage of a test.
struct gt_retries {
	int most[GT_RETRY_CLASS_COUNT];
};

// What nobody asked for: faults of the surroundings (killed, host) and timeouts are tried once more,
// everything else is believed at once.
void gt_retries_init(struct gt_retries *retries);

// Apply "N" (every class) or "CLASS=N". GT_BAD_USAGE names the
// classes.
GT_MUST_USE gt_code gt_retries_set(struct gt_retries *retries, const char *text,
                                   struct gt_err *err);

// By class, for the record; a new object.
json_t *gt_retries_to_json(const struct gt_retries *retries);

// How often a stage of a test has failed, per class: one that was killed from outside keeps the try
// that its own timeout deserves. Begins as zeros with each stage.
struct gt_failures {
	int times[GT_RETRY_CLASS_COUNT];
};

// An attempt failed with `why`, which is counted here: once more?
bool gt_retry_again(const struct gt_retries *retries, struct gt_failures *failures,
                    const char *why);

// Must that be alone on the machine? A timeout beside other jobs may be their fault.
bool gt_retry_alone(const struct gt_failures *failures);

#endif // GT_RUN_RETRY_H
