// core/verdict.h - the words of a test's end: status, why, expectation; and what they mean together.
//
// Pure. docs/formats.md, "Results" and "Why".
#ifndef GT_CORE_VERDICT_H
#define GT_CORE_VERDICT_H

#include "core/stages.h"

#include <stdbool.h>
#include <stddef.h>

// Status strings that are not a stage's name.
#define GT_STATUS_PASS "PASS"
#define GT_STATUS_NUMERICS "Numerics"

// Why of a PASS without a comparison.
#define GT_WHY_PARTIAL "partial"

// How a status relates to what was expected of the test.
enum gt_verdict {
	GT_VERDICT_NONE,  // the test has no terminal state
	GT_VERDICT_PASS,  // PASS, as expected
	GT_VERDICT_XFAIL, // the failure that was expected
	GT_VERDICT_XPASS, // PASS, but a failure was expected
	GT_VERDICT_FAIL,  // a failure that was not expected, or another than the expected one
	GT_VERDICT_COUNT
};
// Did it end otherwise than expected: FAIL or XPASS?
bool gt_verdict_is_failure(enum gt_verdict v);
const char *gt_verdict_name(enum gt_verdict v); // "NONE", "PASS", "XFAIL", "XPASS", "FAIL"

// `expected` is "STATUS" or "STATUS:WHY" (a why of "crash" also fits "crash:SIGSEGV").
// A fault of the surroundings is expected only if it is named.
enum gt_verdict gt_verdict_of(const char *expected, const char *status, const char *why);

// The stage in which a test with the status of `length` bytes stopped; GT_STAGE_COUNT if there is no
// such status, or if it is PASS.
enum gt_stage_id gt_status_stage(const char *status, size_t length);

// Is it a fault of the surroundings, which says nothing about the test?
bool gt_why_is_surroundings(const char *why);

// Is it "STATUS" or "STATUS:WHY", of a status that there is?
bool gt_is_expectation(const char *expected);

// A why is one short word of visible ASCII, so that it can stand in file names, tables, expectations.
#define GT_MAX_WHY 64 // bytes
bool gt_is_why(const char *why);

#endif // GT_CORE_VERDICT_H
