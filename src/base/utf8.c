#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

size_t gt_utf8_sequence(const char *p, size_t left)
{
	const unsigned char *s = (const unsigned char *)p;
	if (left == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
	if (s[0] < 0xC2 || s[0] > 0xF4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
	bool surrogate = s[0] == 0xED && s[1] > 0x9F;
	bool too_large = s[0] == 0xF4 && s[1] > 0x8F;
	return overlong || surrogate || too_large ? 0 : n;
}

char *gt_utf8_clean(const char *text)
{
	struct gt_buf out = {0};
	for (size_t left = strlen(text); left;) {
		size_t n = gt_utf8_sequence(text, left);
		if (n)
			gt_buf_append(&out, text, n);
		else
			gt_buf_puts(&out, REPLACEMENT);
		n = n ? n : 1;
		text += n;
		left -= n;
	}
	return gt_buf_take(&out);
}

static uint32_t code_point(const char *p, size_t n)
{
	const unsigned char *s = (const unsigned char *)p;
	uint32_t c = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3Fu);
	return c;
}

// Characters that reorder or hide what stands around them on a terminal.
static bool is_bidi_control(uint32_t c)
{
	return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E ||
	       c == 0x200F || c == 0x061C || c == 0x2028 || c == 0x2029;
}

void gt_utf8_line(struct gt_buf *out, const char *text)
{
	for (size_t left = strlen(text); left;) {
		size_t n = gt_utf8_sequence(text, left);
		uint32_t c = n ? code_point(text, n) : 0;
		if (!n)
			gt_buf_puts(out, REPLACEMENT);
		else if (c == '\n' || c == '\t')
			gt_buf_puts(out, " ");
		else if (c < 0x20 || c == 0x7F)
			gt_buf_printf(out, "\\x%02X", (unsigned)c);
		else if ((c >= 0x80 && c < 0xA0) || is_bidi_control(c))
			gt_buf_printf(out, "\\u{%04X}", (unsigned)c);
		else
			gt_buf_append(out, text, n);
		n = n ? n : 1;
		text += n;
		left -= n;
	}
}
