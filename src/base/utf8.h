// base/utf8.h - text from outside, made safe to show and to store.
#ifndef GT_BASE_UTF8_H
#define GT_BASE_UTF8_H

#include "base/buf.h"

// Length in bytes (1-4) of the well-formed UTF-8 sequence at `p` (RFC 3629: no surrogates, no
// overlong forms, at most U+10FFFF); 0 if there is none. `left` bytes may be read.
size_t gt_utf8_sequence(const char *p, size_t left);

// A copy in which every byte that is not UTF-8 became U+FFFD. Allocated.
char *gt_utf8_clean(const char *text);

// Append `text` as one line fit for a terminal: not UTF-8 -> U+FFFD, control characters (also C1,
// bidirectional overrides and those without width) as \xNN or \u{NNNN}, newline and tab as a space.
void gt_utf8_line(struct gt_buf *out, const char *text);

#endif // GT_BASE_UTF8_H
