// run/journal.h - events.jsonl: one write per event, before anything else looks at it.
#ifndef GT_RUN_JOURNAL_H
#define GT_RUN_JOURNAL_H

#include "core/event.h"

#include <stdint.h>

struct gt_journal {
	int fd;
	char *path;
	uint64_t seq;   // of the next event
	int64_t length; // bytes written
	struct gt_hasher *written; // all bytes, to know them again
	int64_t start;  // clock at which the run began, or would have, had it not been interrupted
};

// Where a journal ends that is to be continued.
struct gt_journal_end {
	uint64_t events;
	int64_t length; // bytes, without a torn last line
	int64_t t;      // of the last event
};

// What a new journal is called until it takes the place of an older one.
#define GT_JOURNAL_NEW ".events.jsonl.tmp"

// Begin a new journal in `folder`; an older one is replaced in one step.
GT_MUST_USE gt_code gt_journal_create(const char *folder, struct gt_journal *out,
                                      struct gt_err *err);

// Go on with the journal in `folder` behind `end`; a torn last line is cut off.
GT_MUST_USE gt_code gt_journal_continue(const char *folder, const struct gt_journal_end *end,
                                        struct gt_journal *out, struct gt_err *err);

// Set "t" of the event (nanoseconds since the run began) and append it. A failure means that the
// run must stop: what cannot be recorded has not happened. GT_DISK also if the file is no longer the one
// that was opened, or not as long as what was written.
GT_MUST_USE gt_code gt_journal_append(struct gt_journal *j, json_t *event, struct gt_err *err);

// Read all of it back: GT_DISK if it is not what was written.
GT_MUST_USE gt_code gt_journal_verify(const struct gt_journal *j, struct gt_err *err);

// Force what was written to the disk and close. Nothing for one that is not open.
GT_MUST_USE gt_code gt_journal_close(struct gt_journal *j, struct gt_err *err);

#endif // GT_RUN_JOURNAL_H
