#include "core/verdict.h"

#include <string.h>

static const char *const verdict_names[GT_VERDICT_COUNT] = {
	[GT_VERDICT_NONE] = "NONE",   [GT_VERDICT_PASS] = "PASS", [GT_VERDICT_XFAIL] = "XFAIL",
	[GT_VERDICT_XPASS] = "XPASS", [GT_VERDICT_FAIL] = "FAIL",
};

const char *gt_verdict_name(enum gt_verdict v)
{
	return (size_t)v < GT_VERDICT_COUNT ? verdict_names[v] : "NONE";
}

bool gt_verdict_is_failure(enum gt_verdict v)
{
	return v == GT_VERDICT_FAIL || v == GT_VERDICT_XPASS;
}

enum gt_stage_id gt_status_stage(const char *status, size_t length)
{
	for (int i = 0; i < GT_STAGE_COUNT; i++) {
		const char *failed = gt_stage((enum gt_stage_id)i)->failed;
		if (strlen(failed) == length && memcmp(failed, status, length) == 0)
			return (enum gt_stage_id)i;
	}
	bool numerics = length == strlen(GT_STATUS_NUMERICS) &&
	                memcmp(status, GT_STATUS_NUMERICS, length) == 0;
	return numerics ? GT_COMPARISON : GT_STAGE_COUNT;
}

static bool is_pass(const char *status, size_t length)
{
	return length == strlen(GT_STATUS_PASS) && memcmp(status, GT_STATUS_PASS, length) == 0;
}

// True if `why` is `expected`, or says more of it: "crash:SIGSEGV" of "crash".
static bool why_fits(const char *expected, const char *why)
{
	size_t n = strlen(expected);
	return strncmp(expected, why, n) == 0 && (why[n] == '\0' || why[n] == ':');
}

enum gt_verdict gt_verdict_of(const char *expected, const char *status, const char *why)
{
	if (!*status)
		return GT_VERDICT_NONE;
	size_t wanted = strcspn(expected, ":");
	bool passed = strcmp(status, GT_STATUS_PASS) == 0;
	if (wanted == 0 || is_pass(expected, wanted))
		return passed ? GT_VERDICT_PASS : GT_VERDICT_FAIL;
	if (passed) // a run without a comparison says nothing about one that should fail
		return strcmp(why, GT_WHY_PARTIAL) == 0 &&
		                       gt_status_stage(expected, wanted) == GT_COMPARISON
		               ? GT_VERDICT_PASS
		               : GT_VERDICT_XPASS;
	if (strlen(status) != wanted || memcmp(status, expected, wanted) != 0)
		return GT_VERDICT_FAIL;
	// A fault of the surroundings is nobody's expected failure, unless it is called by its name.
	bool fits = expected[wanted] ? why_fits(expected + wanted + 1, why)
	                             : !gt_why_is_surroundings(why);
	return fits ? GT_VERDICT_XFAIL : GT_VERDICT_FAIL;
}

bool gt_why_is_surroundings(const char *why)
{
	return strcmp(why, "killed") == 0 || strcmp(why, "host") == 0;
}

bool gt_is_expectation(const char *expected)
{
	size_t n = strcspn(expected, ":");
	if (is_pass(expected, n))
		return !expected[n];
	return gt_status_stage(expected, n) != GT_STAGE_COUNT && (!expected[n] || expected[n + 1]);
}

bool gt_is_why(const char *why)
{
	size_t n = 0;
	while (why[n] > ' ' && why[n] < 0x7F)
		n++;
	return !why[n] && n <= GT_MAX_WHY;
}
