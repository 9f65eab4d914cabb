// report/text.h - text for people: columns of a terminal, cutting, durations.
#ifndef GT_REPORT_TEXT_H
#define GT_REPORT_TEXT_H

#include "base/buf.h"
#include "core/result.h"

// Columns that a terminal needs for clean text (gt_utf8_line), never too few.
size_t gt_text_columns(const char *text);

// Append clean text, ended by "…" where it would need more than `columns`.
void gt_text_cut(struct gt_buf *out, const char *text, size_t columns);

// Append clean text in lines of at most `columns`, broken at blanks where there are some, each but
// the first begun by `indent` blanks (they count). At most `lines` of them: the last is cut.
void gt_text_wrap(struct gt_buf *out, const char *text, size_t columns, size_t indent,
                  size_t lines);

// The same as gt_text_cut(), filled up with blanks to `columns`.
void gt_text_pad(struct gt_buf *out, const char *text, size_t columns);

// "0.53 s", "12.3 s", "2 min 03 s", "1 h 05 min".
void gt_text_seconds(struct gt_buf *out, double seconds);

// Any text as one clean line, allocated.
char *gt_text_line(const char *text);

// Why a test failed, one clean line: "crash:SIGSEGV: the sentence"; "" for a pass. `brief` leaves
// out where in a file the compiler stood: a line that is cut has no room for it. Allocated.
char *gt_text_why(const struct gt_test_result *t, bool brief);

// ANSI colours; each is "" unless `color`.
struct gt_palette {
	const char *red, *green, *yellow, *bold, *dim, *off;
};
const struct gt_palette *gt_text_palette(bool color);
const char *gt_text_verdict_color(const struct gt_palette *p, enum gt_verdict v);

#endif // GT_REPORT_TEXT_H
