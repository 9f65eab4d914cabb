#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gt_buf_free(struct gt_buf *b)
{
	free(b->data);
	*b = (struct gt_buf){0};
}

static void reserve(struct gt_buf *b, size_t more)
{
	size_t need;
	if (__builtin_add_overflow(b->length + 1, more, &need))
		need = SIZE_MAX; // there is no such memory, and gt_realloc says so
	if (need <= b->capacity)
		return;
	size_t capacity = b->capacity ? b->capacity : 128;
	while (capacity < need)
		capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
	b->data = gt_realloc(b->data, capacity, 1);
	b->capacity = capacity;
}

void gt_buf_append(struct gt_buf *b, const void *bytes, size_t length)
{
	reserve(b, length);
	if (length)
		memcpy(b->data + b->length, bytes, length);
	b->length += length;
	b->data[b->length] = '\0';
}

void gt_buf_puts(struct gt_buf *b, const char *text)
{
	gt_buf_append(b, text, strlen(text));
}

void gt_buf_printf(struct gt_buf *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n > 0) {
		reserve(b, (size_t)n);
		vsnprintf(b->data + b->length, (size_t)n + 1, format, again);
		b->length += (size_t)n;
	}
	va_end(again);
}

const char *gt_buf_text(const struct gt_buf *b)
{
	return b->data ? b->data : "";
}

char *gt_buf_take(struct gt_buf *b)
{
	reserve(b, 0);
	b->data[b->length] = '\0';
	char *data = b->data;
	*b = (struct gt_buf){0};
	return data;
}
