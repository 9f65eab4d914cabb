#include "worker/backtrace.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "worker/symbol.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Frames that make the key, from the place of the crash on: enough to tell places apart, too few to
// reach what differs from job to job.
#define KEY_FRAMES 5

// A copy that nobody writes to any more, with its numbers and names in their bounds.
struct trace {
	struct gt_backtrace b;
	struct gt_symbol symbols[GT_BACKTRACE_FRAMES];
};

static struct trace *take(const struct gt_backtrace *from)
{
	struct trace *t = gt_zalloc(1, sizeof *t);
	memcpy(&t->b, from, sizeof t->b);
	if (t->b.count > GT_BACKTRACE_FRAMES)
		t->b.count = GT_BACKTRACE_FRAMES;
	if (t->b.modules > GT_BACKTRACE_MODULES)
		t->b.modules = GT_BACKTRACE_MODULES;
	for (uint32_t i = 0; i < GT_BACKTRACE_MODULES; i++)
		t->b.paths[i][GT_BACKTRACE_PATH - 1] = '\0';
	return t;
}

static void find_names(struct trace *t)
{
	struct gt_symbol *asked = gt_zalloc(GT_BACKTRACE_FRAMES, sizeof *asked);
	for (uint32_t m = 0; m < t->b.modules; m++) {
		size_t n = 0;
		for (uint32_t i = 0; i < t->b.count; i++)
			if (t->b.frames[i].module == m)
				asked[n++].offset = t->b.frames[i].offset;
		gt_symbol_find(t->b.paths[m], asked, n);
		n = 0;
		for (uint32_t i = 0; i < t->b.count; i++)
			if (t->b.frames[i].module == m)
				t->symbols[i] = asked[n++];
	}
	free(asked);
}

// "" for what belongs to no module.
static const char *module_of(const struct trace *t, const struct gt_backtrace_frame *frame)
{
	if (frame->module >= t->b.modules)
		return "";
	const char *path = t->b.paths[frame->module], *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static void put_frame(struct gt_buf *out, const struct trace *t, uint32_t i)
{
	const struct gt_backtrace_frame *frame = &t->b.frames[i];
	const struct gt_symbol *symbol = &t->symbols[i];
	const char *module = module_of(t, frame);
	gt_buf_printf(out, "#%u ", (unsigned)i);
	gt_utf8_line(out, *module ? module : "?");
	gt_buf_printf(out, "+0x%" PRIx64, frame->offset);
	if (symbol->name[0]) {
		gt_buf_puts(out, " (");
		gt_utf8_line(out, symbol->name);
		gt_buf_printf(out, "+0x%" PRIx64 ")", symbol->offset - symbol->start);
	}
	gt_buf_puts(out, i && frame->by_signal ? " interrupted by a signal\n" : "\n");
}

// --- the key ---

// What every program ends up in: the C and C++ runtimes.
static bool is_runtime(const char *module)
{
	static const char *const names[] = {"libc.", "libc-", "libpthread", "ld-linux", "libgcc_s.",
	                                    "libstdc++.", "libc++", "libm.", "linux-vdso"};
	for (size_t i = 0; i < GT_COUNTOF(names); i++)
		if (strncmp(module, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// Where in a recursion the stack is full depends on how much of it there was: what counts is which
// frames come again and again, and not their order.
static void put_recursion(struct gt_buf *out, char **lines, size_t count)
{
	qsort(lines, count, sizeof *lines, by_text);
	for (size_t i = 1; i < count; i++)
		if (strcmp(lines[i], lines[i - 1]) == 0 &&
		    (i + 1 == count || strcmp(lines[i], lines[i + 1]) != 0))
			gt_buf_puts(out, lines[i]);
}

// A handler that raised the signal again is not where the crash was.
static uint32_t first_frame(const struct trace *t)
{
	for (uint32_t i = t->b.count; t->b.raised && i-- > 1;)
		if (t->b.frames[i].by_signal)
			return i;
	return 0;
}

static uint64_t make_key(const struct trace *t)
{
	char *lines[GT_BACKTRACE_FRAMES];
	size_t n = 0;
	struct gt_buf text = {0};
	for (uint32_t i = first_frame(t); i < t->b.count; i++) {
		const struct gt_backtrace_frame *frame = &t->b.frames[i];
		const char *module = module_of(t, frame);
		if (is_runtime(module))
			continue;
		// Where no module is, code lies elsewhere each time.
		lines[n++] = *module ? gt_format("%s+0x%" PRIx64 "\n", module, frame->offset)
		                     : gt_strdup("?\n");
	}
	if (t->b.overflow)
		put_recursion(&text, lines, n);
	for (size_t i = 0; i < n && i < KEY_FRAMES && !t->b.overflow; i++)
		gt_buf_puts(&text, lines[i]);
	uint64_t key = text.length ? gt_hash64(text.data, text.length) : 0;
	for (size_t i = 0; i < n; i++)
		free(lines[i]);
	gt_buf_free(&text);
	return key;
}

uint64_t gt_backtrace_text(const struct gt_backtrace *backtrace, pid_t pid, int signal,
                           struct gt_buf *out)
{
	if (!gt_backtrace_catches(signal))
		return 0;
	if (!backtrace || backtrace->signal != signal || backtrace->pid != pid) {
		gt_buf_puts(out, "the stack could not be read\n");
		return 0;
	}
	struct trace *t = take(backtrace);
	size_t end = out->length + GT_BACKTRACE_TEXT - 128;
	bool all = t->b.whole && t->b.count < GT_BACKTRACE_FRAMES;
	find_names(t);
	if (t->b.overflow)
		gt_buf_puts(out, "the stack is full\n");
	if (t->b.sent_by >= 0)
		gt_buf_puts(out, "the signal was sent by another process\n");
	for (uint32_t i = 0; i < t->b.count; i++) {
		size_t before = out->length;
		put_frame(out, t, i);
		if (out->length < end)
			continue;
		out->length = before;
		all = false;
		break;
	}
	if (!t->b.whole)
		gt_buf_puts(out, "the stack could not be read to its end\n");
	else if (!all)
		gt_buf_puts(out, "and so on\n");
	uint64_t key = t->b.sent_by >= 0 ? 0 : make_key(t);
	free(t);
	return key;
}
