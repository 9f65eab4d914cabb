#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const code_names[] = {
	[GT_OK] = "ok",
	[GT_NOT_FOUND] = "not_found",
	[GT_BAD_DATA] = "bad_data",
	[GT_BAD_USAGE] = "bad_usage",
	[GT_UNSUPPORTED] = "unsupported",
	[GT_NO_MEMORY] = "no_memory",
	[GT_IO] = "io",
	[GT_DISK] = "disk",
	[GT_ENGINE] = "engine",
	[GT_MISMATCH] = "mismatch",
	[GT_INTERNAL] = "internal",
};

const char *gt_code_name(gt_code code)
{
	if ((size_t)code >= GT_COUNTOF(code_names))
		return "internal";
	return code_names[code];
}

gt_code gt_code_parse(const char *name)
{
	for (size_t i = 0; i < GT_COUNTOF(code_names); i++)
		if (name && strcmp(code_names[i], name) == 0)
			return (gt_code)i;
	return GT_INTERNAL;
}

static void mark_cut(char *text, size_t size, int wanted)
{
	if (wanted >= 0 && (size_t)wanted >= size)
		memcpy(text + size - 4, "...", 4);
}

gt_code gt_fail(struct gt_err *err, gt_code code, const char *format, ...)
{
	if (!err)
		return code;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	mark_cut(err->text, sizeof err->text, n);
	err->code = code;
	return code;
}

static gt_code code_of(int number)
{
	switch (number) {
	case ENOENT:
		return GT_NOT_FOUND;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return GT_NO_MEMORY;
	case ENOSPC:
	case EDQUOT:
	case EFBIG: // RLIMIT_FSIZE
	case EROFS:
	case EIO:
		return GT_DISK;
	default:
		return GT_IO;
	}
}

gt_code gt_fail_errno(struct gt_err *err, const char *format, ...)
{
	int number = errno;
	gt_code code = code_of(number);
	if (!err)
		return code;
	char text[sizeof err->text];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return gt_fail(err, code, "%s: %s%s", text, strerror(number),
	               number == EMFILE ? " (see ulimit -n)" : "");
}

gt_code gt_err_context(struct gt_err *err, const char *format, ...)
{
	if (!err)
		return GT_INTERNAL;
	char inner[sizeof err->text];
	memcpy(inner, err->text, sizeof inner);
	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n + 3 < sizeof err->text) {
		size_t room = sizeof err->text - (size_t)n;
		int m = snprintf(err->text + n, room, ": %s", inner);
		mark_cut(err->text + n, room, m);
	}
	return err->code;
}

static void *must(void *p)
{
	if (!p) {
		fputs("gauntlet: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *gt_alloc(size_t bytes)
{
	return must(malloc(bytes ? bytes : 1));
}

void *gt_zalloc(size_t count, size_t size)
{
	return must(calloc(count ? count : 1, size ? size : 1));
}

void *gt_realloc(void *old, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		must(NULL);
	return must(realloc(old, bytes ? bytes : 1));
}

char *gt_strdup(const char *text)
{
	return must(strdup(text));
}

char *gt_strndup(const char *text, size_t length)
{
	return must(strndup(text, length));
}

char *gt_format(const char *format, ...)
{
	char *out = NULL;
	va_list args;
	va_start(args, format);
	int n = vasprintf(&out, format, args);
	va_end(args);
	return must(n < 0 ? NULL : out);
}
