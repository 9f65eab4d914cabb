#include "base/json.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// No record of ours comes near; a larger file is not one of ours.
#define MAX_JSON_BYTES ((size_t)32 << 20)

// A sealed file ends in this, with a hash between the two.
#define SUM_BEGIN ",\n  \"sum\": \""
#define SUM_END "\"\n}\n"
#define SUM_LENGTH (sizeof SUM_BEGIN + GT_HASH_SIZE + sizeof SUM_END - 3)

static gt_code parse(const char *path, const struct gt_buf *text, json_t **out, struct gt_err *err)
{
	json_error_t why;
	*out = json_loadb(gt_buf_text(text), text->length, JSON_REJECT_DUPLICATES, &why);
	if (!*out)
		return gt_fail(err, GT_BAD_DATA, "'%s' is not JSON: line %d column %d: %s", path, why.line,
		               why.column, why.text);
	if (json_is_object(*out))
		return GT_OK;
	json_decref(*out);
	*out = NULL;
	return gt_fail(err, GT_BAD_DATA, "'%s' does not hold a JSON object", path);
}

gt_code gt_json_read(const char *path, json_t **out, struct gt_err *err)
{
	struct gt_buf text = {0};
	*out = NULL;
	gt_code rc = gt_file_read(path, MAX_JSON_BYTES, &text, err);
	if (!rc)
		rc = parse(path, &text, out, err);
	gt_buf_free(&text);
	return rc;
}

gt_code gt_json_check_format(const json_t *json, int64_t newest, const char *path,
                             struct gt_err *err)
{
	int64_t format = gt_json_integer_or(json, "format", 0);
	if (format < 1)
		return gt_fail(err, GT_BAD_DATA, "'%s' does not say its format", path);
	if (format > newest)
		return gt_fail(err, GT_BAD_DATA,
		               "'%s' has format %" PRId64 ", which is newer than this program: it reads "
		               "formats up to %" PRId64, path, format, newest);
	return GT_OK;
}

gt_code gt_json_write(const char *path, const json_t *value, struct gt_err *err)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	if (!text)
		return gt_fail(err, GT_INTERNAL, "cannot write '%s' as JSON", path);
	struct gt_buf b = {0};
	gt_buf_puts(&b, text);
	gt_buf_puts(&b, "\n");
	free(text);
	gt_code rc = gt_file_write(path, b.data, b.length, err);
	gt_buf_free(&b);
	return rc;
}

// 15 digits give back almost every number that anybody writes; some need 17.
static bool needs_all_digits(const json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;
	char text[40];
	if (json_is_real(value)) {
		snprintf(text, sizeof text, "%.15g", json_real_value(value));
		return strtod(text, NULL) != json_real_value(value);
	}
	json_array_foreach(value, i, item)
		if (needs_all_digits(item))
			return true;
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
		if (needs_all_digits(item))
			return true;
	return false;
}

// With as few digits as give back the same numbers.
static char *exact_text(const json_t *value)
{
	size_t digits = needs_all_digits(value) ? JSON_REAL_PRECISION(17) : JSON_REAL_PRECISION(15);
	return json_dumps(value, JSON_INDENT(2) | digits);
}

gt_code gt_json_write_sealed(const char *path, const json_t *value, struct gt_err *err)
{
	char *text = exact_text(value), sum[GT_HASH_SIZE];
	if (!text)
		return gt_fail(err, GT_INTERNAL, "cannot write '%s' as JSON", path);
	struct gt_buf b = {0};
	size_t length = strlen(text) - strlen("\n}");
	gt_hash_bytes(text, length, sum);
	gt_buf_append(&b, text, length);
	gt_buf_printf(&b, SUM_BEGIN "%s" SUM_END, sum);
	free(text);
	gt_code rc = gt_file_write(path, b.data, b.length, err);
	gt_buf_free(&b);
	return rc;
}

static bool is_sealed(const struct gt_buf *text)
{
	if (text->length < SUM_LENGTH)
		return false;
	char sum[GT_HASH_SIZE], end[SUM_LENGTH + 1];
	gt_hash_bytes(text->data, text->length - SUM_LENGTH, sum);
	snprintf(end, sizeof end, SUM_BEGIN "%s" SUM_END, sum);
	return memcmp(text->data + text->length - SUM_LENGTH, end, SUM_LENGTH) == 0;
}

// Files of a program that did not seal them, or seals them otherwise, say their format first.
static int64_t format_of_unsealed(struct gt_buf *text)
{
	static const char begin[] = "{\n  \"format\": ";
	const char *p = gt_buf_text(text);
	return strncmp(p, begin, sizeof begin - 1) == 0 && !strstr(p, SUM_BEGIN)
	               ? strtoll(p + sizeof begin - 1, NULL, 10)
	               : 0;
}

static gt_code check_one_format(int64_t found, int64_t format, const char *path, struct gt_err *err)
{
	if (found == format)
		return GT_OK;
	return gt_fail(err, GT_BAD_DATA,
	               "'%s' has format %" PRId64 ", which is %s than this program: it reads format "
	               "%" PRId64, path, found, found < format ? "older" : "newer", format);
}

gt_code gt_json_read_sealed(const char *path, int64_t format, json_t **out, struct gt_err *err)
{
	struct gt_buf text = {0};
	*out = NULL;
	gt_code rc = gt_file_read(path, MAX_JSON_BYTES, &text, err);
	if (!rc && !is_sealed(&text)) {
		int64_t found = format_of_unsealed(&text);
		rc = found > 0 ? check_one_format(found, format, path, err) : GT_OK;
		if (!rc)
			rc = gt_fail(err, GT_BAD_DATA, "'%s' is damaged: its sum is not that of its content",
			             path);
	}
	if (!rc)
		rc = parse(path, &text, out, err);
	if (!rc)
		rc = check_one_format(gt_json_integer_or(*out, "format", 0), format, path, err);
	if (rc) {
		json_decref(*out);
		*out = NULL;
	} else {
		json_object_del(*out, "sum");
	}
	gt_buf_free(&text);
	return rc;
}

gt_code gt_json_string(const json_t *object, const char *key, const char **out, struct gt_err *err)
{
	*out = json_string_value(json_object_get(object, key));
	return *out ? GT_OK : gt_fail(err, GT_BAD_DATA, "member \"%s\" is not a string", key);
}

gt_code gt_json_integer(const json_t *object, const char *key, int64_t *out, struct gt_err *err)
{
	const json_t *value = json_object_get(object, key);
	if (!json_is_integer(value))
		return gt_fail(err, GT_BAD_DATA, "member \"%s\" is not an integer", key);
	*out = json_integer_value(value);
	return GT_OK;
}

const char *gt_json_string_or(const json_t *object, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : fallback;
}

int64_t gt_json_integer_or(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double gt_json_number_or(const json_t *object, const char *key, double fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_number(value) ? json_number_value(value) : fallback;
}

bool gt_json_bool_or(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_t *gt_json_real(double value)
{
	if (isnan(value))
		return json_string("NaN");
	if (isinf(value))
		return json_string(value > 0 ? "Infinity" : "-Infinity");
	return json_real(value);
}

json_t *gt_json_text(const char *text)
{
	json_t *value = json_string(text);
	if (value)
		return value;
	char *clean = gt_utf8_clean(text);
	value = json_string(clean);
	free(clean);
	return value;
}

json_t *gt_json_bytes(const char *text)
{
	json_t *value = json_string(text ? text : "");
	if (value)
		return value;
	struct gt_buf hex = {0};
	for (const char *p = text; *p; p++)
		gt_buf_printf(&hex, "%02x", (unsigned)(unsigned char)*p);
	value = json_object();
	gt_json_set(value, "hex", json_string(gt_buf_text(&hex)));
	gt_buf_free(&hex);
	return value;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

char *gt_json_bytes_of(const json_t *value)
{
	const char *text = json_string_value(value);
	if (text) // strlen: a NUL written as \u0000 would cut a path short
		return strlen(text) == json_string_length(value) ? gt_strdup(text) : NULL;
	const char *hex = json_string_value(json_object_get(value, "hex"));
	size_t n = hex ? strlen(hex) : 1;
	if (n % 2 != 0)
		return NULL;
	struct gt_buf out = {0};
	for (size_t i = 0; i < n; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);
		char byte = (char)(high * 16 + low);
		if (high < 0 || low < 0 || byte == '\0') {
			gt_buf_free(&out);
			return NULL;
		}
		gt_buf_append(&out, &byte, 1);
	}
	return gt_buf_take(&out);
}

void gt_json_set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) != 0)
		abort();
}

// Longest value that a sentence shows.
#define MAX_SHOWN 240

char *gt_json_show(const json_t *value)
{
	struct gt_buf text = {0};
	size_t i;
	json_t *item;
	char *json = NULL;
	if (json_is_string(value)) {
		gt_buf_printf(&text, "'%s'", json_string_value(value));
	} else if (json_is_array(value)) {
		gt_buf_puts(&text, "'");
		json_array_foreach(value, i, item)
			gt_buf_printf(&text, "%s%s", i ? " " : "",
			              json_string_value(item) ? json_string_value(item) : "?");
		gt_buf_puts(&text, "'");
	} else {
		json = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))
		             : NULL;
		gt_buf_puts(&text, json ? json : "nothing");
	}
	free(json);
	size_t n = text.length;
	if (n > MAX_SHOWN) {
		n = MAX_SHOWN;
		while (n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) // not within a character
			n--;
	}
	char *shown = gt_format("%.*s%s", (int)n, gt_buf_text(&text), n < text.length ? "..." : "");
	gt_buf_free(&text);
	return shown;
}
