// suite/expect.h - expected statuses: a text file, one test a line: name, status, reason.
//
// Three fields separated by blanks, the third being the rest of the line; '#' at the start of a
// line is a comment. A name with blanks or '%' is percent-encoded. Status is PASS, Numerics or a
// stage's, optionally followed by ":" and a why. docs/formats.md, "Expected statuses".
#ifndef GT_SUITE_EXPECT_H
#define GT_SUITE_EXPECT_H

#include "base/status.h"
#include "core/result.h"

struct gt_expectation {
	char *test, *status, *reason;
	int line; // in the file
};

// Owns its items, in the order of the file. Zero-initialised is empty: everything must pass.
struct gt_expectations {
	struct gt_expectation *items;
	size_t count;
	char *path;
	void *index; // test -> place; private
};

// GT_BAD_DATA names file and line: unknown status, missing field, a test named twice.
GT_MUST_USE gt_code gt_expect_load(const char *path, struct gt_expectations *out,
                                   struct gt_err *err);
void gt_expect_free(struct gt_expectations *e);

// The expectation for a test (by id, else by name); NULL if there is none.
const struct gt_expectation *gt_expect_find(const struct gt_expectations *e, const char *id,
                                            const char *name);

// Rewrite the file so that it expects what `r` says: comments, order, reasons and tests that did
// not run stay; a changed or new line gets its status ("STATUS:WHY" where the why is not plain
// "error") and, if the reason no longer applies or there is none, the message's first 100 bytes.
// Tests that pass lose their line unless the file lists passing tests too. In one step.
GT_MUST_USE gt_code gt_expect_update(const char *path, const struct gt_result *r,
                                     struct gt_err *err);

#endif // GT_SUITE_EXPECT_H
