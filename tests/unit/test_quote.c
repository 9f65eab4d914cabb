// Words of a shell command: a shell reads them back, byte by byte.
#include "base/quote.h"

#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *text, const char *wanted)
{
	struct gt_buf word = {0};
	gt_quote_word(&word, text);
	assert_string_equal(gt_buf_text(&word), wanted);
	gt_buf_free(&word);
}

static void test_forms(void **state)
{
	(void)state;
	check("test_abs", "test_abs");
	check("-a=--iree-opt-level=O3", "-a=--iree-opt-level=O3");
	check("", "''");
	check("a b", "'a b'");
	check("it's", "'it'\\''s'");
	check("$(x)`y`\"\\", "'$(x)`y`\"\\'");
	check("~root", "'~root'");
	check("\xc3\xa9", "'\xc3\xa9'");
	check("a\nb", "\"$(printf 'a\\012b')\"");
	check("\x7f%'\\", "\"$(printf '\\177%%\\047\\134')\"");
	check("\xff\xc3\xa9", "\"$(printf '\\377\\303\\251')\"");
	check("-\xff-", "\"$(printf '\\055\\377-')\"");
	check("\xe2\x80\xae", "\"$(printf '\\342\\200\\256')\""); // changes the order of what follows
}

// What a shell makes of the word, with a character behind it that keeps newlines at its end.
static void must_come_back(const char *text)
{
	struct gt_buf command = {0}, line = {0}, got = {0};
	gt_buf_puts(&command, "printf %s. ");
	gt_quote_word(&command, text);
	gt_utf8_line(&line, command.data);
	assert_string_equal(line.data, command.data); // nothing in it that a terminal would not show
	FILE *shell = popen(command.data, "r");
	assert_non_null(shell);
	for (int c; (c = fgetc(shell)) != EOF;)
		gt_buf_append(&got, &(char){(char)c}, 1);
	assert_int_equal(pclose(shell), 0);
	assert_int_equal(got.length, strlen(text) + 1);
	assert_memory_equal(got.data, text, strlen(text));
	gt_buf_free(&command);
	gt_buf_free(&line);
	gt_buf_free(&got);
}

static void test_a_shell_reads_it_back(void **state)
{
	(void)state;
	char all[256], some[24];
	for (int c = 1; c < 256; c++)
		all[c - 1] = (char)c;
	all[255] = '\0';
	must_come_back(all);
	must_come_back("-");
	must_come_back("-\xff");
	must_come_back("--suite=\n x");
	must_come_back("");
	must_come_back("%s%n\\n\\c'\"'\\'");
	uint32_t random = 5;
	for (int round = 0; round < 60; round++) {
		size_t n = 1 + (size_t)round % (sizeof some - 2);
		for (size_t i = 0; i < n; i++) {
			random = random * 1664525 + 1013904223;
			some[i] = (char)(1 + (random >> 16) % 255);
		}
		some[n - 1] = some[n - 1] == '\n' ? 'x' : some[n - 1];
		some[n] = '\0';
		must_come_back(some);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_a_shell_reads_it_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
