// base/buf.h - growing bytes, always followed by a NUL that is not counted.
#ifndef GT_BASE_BUF_H
#define GT_BASE_BUF_H

#include "base/status.h"

// Owns `data`; an empty one is `{0}`. gt_buf_text() is safe on an empty buffer.
struct gt_buf {
	char *data;
	size_t length;
	size_t capacity;
};

void gt_buf_free(struct gt_buf *b);
void gt_buf_append(struct gt_buf *b, const void *bytes, size_t length);
void gt_buf_puts(struct gt_buf *b, const char *text);
void gt_buf_printf(struct gt_buf *b, const char *format, ...) GT_PRINTF(2, 3);

// The bytes as text; "" when empty. Borrowed until the next change.
const char *gt_buf_text(const struct gt_buf *b);

// Hand over the bytes (malloc'd, NUL-terminated) and leave the buffer empty.
char *gt_buf_take(struct gt_buf *b);

#endif // GT_BASE_BUF_H
