// UTF-8 against a second implementation, and text made safe for terminals.
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Encode as RFC 3629 says; 0 for what has no encoding.
static size_t encode(uint32_t c, char out[4])
{
	if (c < 0x80)
		return out[0] = (char)c, 1;
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c >= 0xD800 && c < 0xE000)
		return 0;
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	if (c > 0x10FFFF)
		return 0;
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

static void test_all_characters(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x110000; c++) {
		char p[4];
		size_t n = encode(c, p);
		if (!n)
			continue;
		if (gt_utf8_sequence(p, 4) != n || gt_utf8_sequence(p, n) != n)
			fail_msg("U+%04X", (unsigned)c);
		if (gt_utf8_sequence(p, n - 1) != 0)
			fail_msg("U+%04X cut off", (unsigned)c);
	}
}

// How many of all sequences of two and three bytes are well formed: a number known beforehand.
static void test_nothing_else(void **state)
{
	(void)state;
	size_t two = 0, three = 0, four = 0;
	for (uint32_t x = 0; x < 0x1000000; x++) {
		char p[4] = {(char)(x >> 16), (char)(x >> 8), (char)x, (char)0x80};
		size_t n = gt_utf8_sequence(p, 4);
		two += n == 2;
		three += n == 3;
		four += n == 4;
	}
	assert_int_equal(two, (0x800 - 0x80) * 256);       // the third byte is free
	assert_int_equal(three, 0x10000 - 0x800 - 0x800);  // without surrogates
	assert_int_equal(four, (0x110000 - 0x10000) / 64); // with one fourth byte of 64
}

static void assert_clean(const char *text, const char *wanted)
{
	char *clean = gt_utf8_clean(text);
	assert_string_equal(clean, wanted);
	free(clean);
}

static void test_clean(void **state)
{
	(void)state;
	assert_clean("", "");
	assert_clean("gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F");
	assert_clean("a\xFF" "b", "a\xEF\xBF\xBD" "b");
	assert_clean("\xC3", "\xEF\xBF\xBD");
	assert_clean("\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD");                 // overlong
	assert_clean("\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"); // surrogate
	assert_clean("\xF4\x90\x80\x80x", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx");
}

static void assert_line(const char *text, const char *wanted)
{
	struct gt_buf b = {0};
	gt_utf8_line(&b, text);
	assert_string_equal(gt_buf_text(&b), wanted);
	gt_buf_free(&b);
}

static void test_line(void **state)
{
	(void)state;
	assert_line("", "");
	assert_line("a\nb\tc", "a b c");
	assert_line("\x1B[31mred\r\x07\x7F", "\\x1B[31mred\\x0D\\x07\\x7F");
	assert_line("\xC2\x9B" "31m", "\\u{009B}31m");           // CSI as one character of C1
	assert_line("\xE2\x80\xAE" "txt", "\\u{202E}txt");       // right-to-left override
	assert_line("\xE2\x81\xA6\xE2\x81\xA9", "\\u{2066}\\u{2069}");
	assert_line("\xD8\x9C\xE2\x80\xA8", "\\u{061C}\\u{2028}");
	// Without width: joiners, marks, a tag.
	assert_line("a\xE2\x80\x8B" "b\xEF\xBB\xBF" "c\xC2\xAD", "a\\u{200B}b\\u{FEFF}c\\u{00AD}");
	assert_line("\xF3\xA0\x81\xA1", "\\u{E0061}");
	assert_line("\x9B" "31m", "\xEF\xBF\xBD" "31m");         // the same in Latin-1
	assert_line("\xF0\x9F\x98\x80 \xC3\xA9", "\xF0\x9F\x98\x80 \xC3\xA9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_characters),
		cmocka_unit_test(test_nothing_else),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
