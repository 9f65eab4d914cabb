// core/event.h - what happened, one JSON object each; the lines of events.jsonl, the journal.
//
// Pure. Events and their members are specified in docs/formats.md, "Journal": run-start, test,
// stage-start, stage-end, test-end, note, run-end.
#ifndef GT_CORE_EVENT_H
#define GT_CORE_EVENT_H

#include "base/json.h"

// Format of journal and results; a reader refuses a newer one.
#define GT_FORMAT_VERSION 1

// Number of the first event: an event's number is how many stand before it.
#define GT_EVENT_FIRST 0

// The line of an event, newline included: the event with "seq" set to `seq` as its first member
// and, last, "sum": XXH3-64, 16 hex digits, of everything in the line before `,"sum":`.
// Allocated. `event` is borrowed. Deterministic: members keep their order, no spaces.
char *gt_event_line(const json_t *event, uint64_t seq);

// Read one line (without its newline). GT_BAD_DATA when the sum, the form or the number is wrong.
// The caller owns *event; "seq" and "sum" are removed from it.
GT_MUST_USE gt_code gt_event_parse(const char *line, size_t length, uint64_t expected_seq,
                                   json_t **event, struct gt_err *err);

// Called for each event of a journal in order; a failure ends the reading with it.
typedef gt_code gt_event_visit(void *user, const json_t *event, struct gt_err *err);

// Read a whole journal. A torn last line (no newline, or a last line whose sum is wrong) is left
// out and *torn set to the offset where it begins (else -1); damage before that is GT_BAD_DATA
// with the line number.
GT_MUST_USE gt_code gt_event_read_file(const char *path, gt_event_visit *visit, void *user,
                                       int64_t *torn, struct gt_err *err);

#endif // GT_CORE_EVENT_H
