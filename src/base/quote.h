// base/quote.h - text as a word of a shell command, for people who copy it.
#ifndef GT_BASE_QUOTE_H
#define GT_BASE_QUOTE_H

#include "base/buf.h"

// Append `text` so that a POSIX shell takes it for one word, these very bytes, whatever they are. It is
// one line, and gt_utf8_line() leaves it as it is: bytes that nobody sees or that are not UTF-8 are for
// printf(1) to make. Only newlines at the very end are lost.
void gt_quote_word(struct gt_buf *out, const char *text);

#endif // GT_BASE_QUOTE_H
