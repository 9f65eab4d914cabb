#include "report/text.h"

#include "base/utf8.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Characters that terminals draw two columns wide, generously: too wide a guess leaves a blank,
// too narrow a one wraps a line that must not wrap. The C library would need a locale to know.
static const struct {
	uint32_t first, last;
} wide[] = {
	{0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23FA},
	{0x25FD, 0x25FE},   {0x2600, 0x27BF},   {0x2B00, 0x2BFF},   {0x2E80, 0xA4CF},
	{0xA960, 0xA97F},   {0xAC00, 0xD7FF},   {0xF900, 0xFAFF},   {0xFE10, 0xFE6F},
	{0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x16FE0, 0x1B2FF}, {0x1D300, 0x1D376},
	{0x1F000, 0x1FAFF}, {0x20000, 0x3FFFF},
};

// Length in bytes of the first character of clean text, and its columns.
static size_t character(const char *text, size_t *columns)
{
	size_t n = gt_utf8_sequence(text, strnlen(text, 4));
	const unsigned char *s = (const unsigned char *)text;
	*columns = 1;
	if (n < 3)
		return n ? n : 1;
	uint32_t c = s[0] & (0xFFu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3Fu);
	for (size_t i = 0; i < GT_COUNTOF(wide); i++)
		if (c >= wide[i].first && c <= wide[i].last)
			*columns = 2;
	return n;
}

size_t gt_text_columns(const char *text)
{
	size_t all = 0, columns;
	while (*text) {
		text += character(text, &columns);
		all += columns;
	}
	return all;
}

void gt_text_cut(struct gt_buf *out, const char *text, size_t columns)
{
	if (gt_text_columns(text) <= columns) {
		gt_buf_puts(out, text);
		return;
	}
	size_t used = 0, next;
	for (const char *p = text; columns > 0; p += next) {
		size_t more;
		next = character(p, &more);
		if (used + more > columns - 1)
			break;
		gt_buf_append(out, p, next);
		used += more;
	}
	if (columns > 0)
		gt_buf_puts(out, "…");
}

// Bytes of the longest beginning of `text` that fits, up to a blank if there is one.
static size_t fitting(const char *text, size_t columns)
{
	size_t used = 0, blank = 0, next;
	const char *p = text;
	for (; *p; p += next) {
		size_t more;
		next = character(p, &more);
		if (used + more > columns)
			return blank ? blank : (size_t)(p - text);
		if (*p == ' ')
			blank = (size_t)(p - text);
		used += more;
	}
	return (size_t)(p - text);
}

void gt_text_wrap(struct gt_buf *out, const char *text, size_t columns, size_t indent,
                  size_t lines)
{
	size_t room = columns;
	for (; lines > 1 && gt_text_columns(text) > room; lines--) {
		size_t n = fitting(text, room);
		if (n == 0)
			break; // not even one character fits
		gt_buf_append(out, text, n);
		text += n + strspn(text + n, " ");
		gt_buf_printf(out, "\n%*s", (int)indent, "");
		room = columns > indent ? columns - indent : 0;
	}
	gt_text_cut(out, text, room);
}

void gt_text_pad(struct gt_buf *out, const char *text, size_t columns)
{
	size_t start = out->length;
	gt_text_cut(out, text, columns);
	for (size_t used = gt_text_columns(gt_buf_text(out) + start); used < columns; used++)
		gt_buf_puts(out, " ");
}

void gt_text_seconds(struct gt_buf *out, double seconds)
{
	if (seconds < 9.995) {
		gt_buf_printf(out, "%.2f s", seconds);
	} else if (seconds < 99.95) {
		gt_buf_printf(out, "%.1f s", seconds);
	} else {
		long long whole = (long long)fmin(seconds + 0.5, 1e15);
		if (whole < 3600)
			gt_buf_printf(out, "%lld min %02lld s", whole / 60, whole % 60);
		else
			gt_buf_printf(out, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
	}
}

char *gt_text_line(const char *text)
{
	struct gt_buf b = {0};
	gt_utf8_line(&b, text);
	return gt_buf_take(&b);
}

// Behind "model.mlir:4:12: " if `text` begins so, else `text`.
static const char *after_location(const char *text)
{
	size_t n = strcspn(text, ": ");
	for (int i = 0; i < 2; i++) {
		if (n == 0 || text[n] != ':')
			return text;
		size_t digits = strspn(text + n + 1, "0123456789");
		if (digits == 0)
			return text;
		n += 1 + digits;
	}
	return strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

char *gt_text_why(const struct gt_test_result *t, bool brief)
{
	struct gt_buf b = {0};
	const char *message = t->message;
	size_t n = strlen(t->why);
	if (strcmp(t->status, GT_STATUS_PASS) == 0)
		return gt_strdup("");
	// Compilers begin with "error: " themselves.
	if (n && strncmp(message, t->why, n) == 0 && message[n] == ':')
		message += n + 1 + strspn(message + n + 1, " ");
	gt_utf8_line(&b, t->why);
	gt_buf_puts(&b, *t->why && *message ? ": " : "");
	gt_utf8_line(&b, brief ? after_location(message) : message);
	return gt_buf_take(&b);
}

const struct gt_palette *gt_text_palette(bool color)
{
	static const struct gt_palette plain = {"", "", "", "", "", ""};
	static const struct gt_palette ansi = {"\x1b[31m", "\x1b[32m", "\x1b[33m",
	                                       "\x1b[1m",  "\x1b[2m",  "\x1b[0m"};
	return color ? &ansi : &plain;
}

const char *gt_text_verdict_color(const struct gt_palette *p, enum gt_verdict v)
{
	switch (v) {
	case GT_VERDICT_PASS:
		return p->green;
	case GT_VERDICT_XFAIL:
		return p->dim;
	case GT_VERDICT_XPASS:
		return p->yellow;
	case GT_VERDICT_FAIL:
		return p->red;
	default:
		return "";
	}
}
