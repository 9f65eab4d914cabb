#include "stage/numbers.h"

#include "base/buf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_exact(const char *text, double value, bool as_float)
{
	return as_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

// 17 digits tell any two doubles apart, 9 any two floats. An exponent that more digits avoid is
// avoided: 100, not 1e+02.
static void shortest(double value, bool as_float, char text[GT_NUMBER_SIZE])
{
	int digits = 1, most = as_float ? 9 : 17;
	do
		snprintf(text, GT_NUMBER_SIZE, "%.*g", digits, value);
	while (!is_exact(text, value, as_float) && ++digits <= most);
	for (; strchr(text, 'e') && digits <= most; digits++) {
		char plain[GT_NUMBER_SIZE];
		snprintf(plain, sizeof plain, "%.*g", digits, value);
		if (!strchr(plain, 'e'))
			strcpy(text, plain);
	}
}

const char *gt_real_text(double value, enum gt_dtype type, char text[GT_NUMBER_SIZE])
{
	if (isnan(value))
		return "nan";
	shortest(value, type != GT_FLOAT64 && type != GT_COMPLEX128, text);
	return text;
}

const char *gt_integer_text(uint64_t bits, bool is_signed, char text[GT_NUMBER_SIZE])
{
	if (is_signed)
		snprintf(text, GT_NUMBER_SIZE, "%" PRId64, (int64_t)bits);
	else
		snprintf(text, GT_NUMBER_SIZE, "%" PRIu64, bits);
	return text;
}

json_t *gt_integer_json(uint64_t bits, bool is_signed)
{
	char text[GT_NUMBER_SIZE];
	if (is_signed || bits <= INT64_MAX)
		return json_integer((json_int_t)bits);
	return json_string(gt_integer_text(bits, false, text));
}

// Append one number of JSON text; a real one keeps its point or exponent, which makes it real.
static void add_number(struct gt_buf *out, const char *number, size_t length)
{
	char text[GT_NUMBER_SIZE], *end;
	bool real = memchr(number, '.', length) || memchr(number, 'e', length);
	double value = real ? strtod(number, &end) : 0;
	if (!real || end != number + length) {
		gt_buf_append(out, number, length);
		return;
	}
	shortest(value, false, text);
	gt_buf_puts(out, text);
	if (!strpbrk(text, ".e"))
		gt_buf_puts(out, ".0");
}

char *gt_exact_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
	struct gt_buf out = {0};
	if (!text)
		return NULL;
	for (const char *p = text; *p;) {
		size_t length = 1;
		if (*p == '"') {
			while (p[length] != '"')
				length += p[length] == '\\' ? 2 : 1;
			gt_buf_append(&out, p, ++length);
		} else if ((length = strspn(p, "-+.0123456789eE")) && (*p == '-' || (*p >= '0' && *p <= '9'))) {
			add_number(&out, p, length);
		} else {
			length = 1;
			gt_buf_append(&out, p, 1);
		}
		p += length;
	}
	free(text);
	gt_buf_puts(&out, "\n");
	return gt_buf_take(&out);
}
