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

// Characters that nobody sees and that reorder, join or break what stands around them: two names
// that differ by them alone would look the same. Unicode's category Cf without the marks that some
// scripts write with, and its two line ends.
static bool is_unseen(uint32_t c)
{
	static const uint32_t ranges[][2] = {
		{0x00AD, 0x00AD}, {0x061C, 0x061C}, {0x180E, 0x180E}, {0x200B, 0x200F},
		{0x2028, 0x202E}, {0x2060, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB},
		{0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE007F},
	};
	for (size_t i = 0; i < GT_COUNTOF(ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return false;
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
		else if ((c >= 0x80 && c < 0xA0) || is_unseen(c))
			gt_buf_printf(out, "\\u{%04X}", (unsigned)c);
		else
			gt_buf_append(out, text, n);
		n = n ? n : 1;
		text += n;
		left -= n;
	}
}
