// The values of flags, from text (cli/arguments.h).
#include "cli/arguments.h"

#include "suite/nearest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// The form of a number without what strtod also takes: blanks, hexadecimal, "inf", "nan".
bool gt_arg_is_number(const char *text)
{
	const char *p = text + (*text == '+' || *text == '-');
	size_t whole = strspn(p, "0123456789");
	p += whole;
	size_t part = 0;
	if (*p == '.') {
		part = strspn(p + 1, "0123456789");
		p += 1 + part;
	}
	if (whole + part == 0)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		size_t digits = strspn(p, "0123456789");
		p += digits;
		return digits > 0 && *p == '\0';
	}
	return *p == '\0';
}

gt_code gt_arg_double(const char *flag, const char *text, double *out, struct gt_err *err)
{
	if (!gt_arg_is_number(text))
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is not a number", flag, text);
	errno = 0;
	*out = strtod(text, NULL);
	// A number too small for a double must not turn into an exact zero unseen.
	if (!isfinite(*out) || (*out == 0 && errno == ERANGE))
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is out of range", flag, text);
	return GT_OK;
}

gt_code gt_arg_integer(const char *flag, const char *text, int64_t least, int64_t most,
                       int64_t *out, struct gt_err *err)
{
	const char *digits = text + (*text == '+' || *text == '-');
	if (!*digits || digits[strspn(digits, "0123456789")] != '\0')
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is not an integer", flag,
		               text);
	errno = 0;
	long long value = strtoll(text, NULL, 10);
	if (errno == ERANGE || value < least || value > most)
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': %s is not between %lld and %lld",
		               flag, text, (long long)least, (long long)most);
	*out = value;
	return GT_OK;
}

gt_code gt_arg_seconds(const char *flag, const char *text, double *out, struct gt_err *err)
{
	static const struct {
		const char *suffix;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"h", 3600}};
	static const double year = 366.0 * 24 * 3600;
	size_t length = strspn(text, "0123456789.");
	char *number = gt_strndup(text, length);
	double value = gt_arg_is_number(number) ? strtod(number, NULL) : -1;
	free(number);
	for (size_t i = 0; value >= 0 && i < GT_COUNTOF(units); i++) {
		if (strcmp(units[i].suffix, text + length) != 0)
			continue;
		*out = value * units[i].seconds;
		if (*out > year)
			return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is more than a year",
			               flag, text);
		return GT_OK;
	}
	return gt_fail(err, GT_BAD_USAGE,
	               "flag '--%s': '%s' is not a duration such as 30, 1.5, 500ms, 2m or 1h", flag,
	               text);
}

gt_code gt_arg_choice(const char *flag, const char *text, const char *const *choices, size_t *out,
                      struct gt_err *err)
{
	const char *near = NULL;
	size_t best = SIZE_MAX;
	struct gt_buf list = {0};
	for (size_t i = 0; choices[i]; i++) {
		if (strcmp(choices[i], text) == 0) {
			*out = i;
			gt_buf_free(&list);
			return GT_OK;
		}
		size_t rate = gt_nearness(text, choices[i]);
		if (rate < best) {
			best = rate;
			near = choices[i];
		}
		gt_buf_printf(&list, "%s%s", i ? ", " : "", choices[i]);
	}
	gt_code rc = gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is %s %s%s%s%s", flag, text,
	                     choices[0] && choices[1] ? "none of" : "not", gt_buf_text(&list),
	                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	gt_buf_free(&list);
	return rc;
}

gt_code gt_arg_pair(const char *flag, const char *text, char **name, const char **value,
                    struct gt_err *err)
{
	const char *equals = strrchr(text, '=');
	if (!equals || equals == text || !equals[1])
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' has not the form NAME=VALUE",
		               flag, text);
	*name = gt_strndup(text, (size_t)(equals - text));
	*value = equals + 1;
	return GT_OK;
}

gt_code gt_arg_tolerance(const char *flag, const struct gt_names *values, double *atol,
                         double *rtol, struct gt_err *err)
{
	if (values->count < 1 || values->count > 2)
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s' takes one or two numbers, not %zu",
		               flag, values->count);
	double both[2] = {0, 0};
	for (size_t i = 0; i < 2; i++) {
		const char *text = values->items[i < values->count ? i : 0];
		gt_code rc = gt_arg_double(flag, text, &both[i], err);
		if (rc)
			return rc;
		if (both[i] < 0)
			return gt_fail(err, GT_BAD_USAGE, "flag '--%s': %s is negative", flag,
			               text);
	}
	*atol = both[0];
	*rtol = both[1];
	return GT_OK;
}

gt_code gt_arg_size(const char *flag, const char *text, uint64_t *out, struct gt_err *err)
{
	static const char units[] = "KMGT";
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	const char *known = *unit ? strchr(units, *unit) : NULL;
	const char *rest = known ? unit + 1 : unit;
	bool good = digits > 0 && digits < 16 &&
	            (*rest == '\0' || (known && (strcmp(rest, "iB") == 0 || strcmp(rest, "B") == 0)));
	uint64_t value = good ? strtoull(text, NULL, 10) : 0;
	for (long step = known ? known - units + 1 : 0; good && step > 0; step--)
		good = !__builtin_mul_overflow(value, (uint64_t)1024, &value);
	if (!good || value == 0)
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is not a size such as 512M or 4G", flag,
		               text);
	*out = value;
	return GT_OK;
}
