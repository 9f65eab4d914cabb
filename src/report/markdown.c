#include "base/file.h"
#include "base/utf8.h"
#include "report/report.h"
#include "report/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// The rows of alt_e2eshark's two summary tables, in order, and where each status counts.
enum group { GROUP_SETUP, GROUP_COMPILATION, GROUP_GOLD, GROUP_INFERENCE, GROUP_COMPARISON, GROUPS };

static const char *const group_names[GROUPS] = {
	[GROUP_SETUP] = "Setup",
	[GROUP_COMPILATION] = "IREE Compilation",
	[GROUP_GOLD] = "Gold Inference",
	[GROUP_INFERENCE] = "IREE Inference Invocation",
	[GROUP_COMPARISON] = "Inference Comparison",
};

static const enum group stage_groups[GT_STAGE_COUNT] = {
	[GT_SETUP] = GROUP_SETUP,
	[GT_IMPORT_MODEL] = GROUP_COMPILATION,
	[GT_PREPROCESSING] = GROUP_COMPILATION,
	[GT_COMPILATION] = GROUP_COMPILATION,
	[GT_CONSTRUCT_INPUTS] = GROUP_GOLD,
	[GT_NATIVE_INFERENCE] = GROUP_GOLD,
	[GT_COMPILED_INFERENCE] = GROUP_INFERENCE,
	[GT_POSTPROCESSING] = GROUP_COMPARISON,
	[GT_COMPARISON] = GROUP_COMPARISON,
};

// Longer messages make a table nobody can read; results.json has them whole.
#define MAX_NOTE 200

static double percent(size_t part, size_t all)
{
	return all ? (double)part / (double)all * 100 : 0;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

// True if the run of '_' around text[i] stands inside a word, where it has no meaning.
static bool is_inside_word(const char *text, size_t i)
{
	size_t first = i, last = i;
	while (first > 0 && text[first - 1] == '_')
		first--;
	while (text[last + 1] == '_')
		last++;
	return first > 0 && is_word(text[first - 1]) && is_word(text[last + 1]);
}

// One cell or line of Markdown that shows any text as it is.
static void put_escaped(struct gt_buf *out, const char *text)
{
	char *line = gt_text_line(text);
	for (size_t i = 0; line[i]; i++) {
		char c = line[i];
		if (c == '<')
			gt_buf_puts(out, "&lt;");
		else if (c == '>')
			gt_buf_puts(out, "&gt;");
		else if (c == '&')
			gt_buf_puts(out, "&amp;");
		else if (c == '@' && is_word(line[i + 1])) // MLIR's @main would call a user of that name
			gt_buf_puts(out, "@<!-- -->");
		else if (strchr("\\|`*~$", c) || (c == '_' && !is_inside_word(line, i)) ||
		         (c == ']' && line[i + 1] == '(')) // a link
			gt_buf_printf(out, "\\%c", c);
		else
			gt_buf_append(out, &c, 1);
	}
	free(line);
}

// --- the line of arguments, as Python's argparse shows it ---

static void put_python(struct gt_buf *out, const json_t *value);

static void put_python_string(struct gt_buf *out, const char *text)
{
	char quote = strchr(text, '\'') && !strchr(text, '"') ? '"' : '\'';
	gt_buf_append(out, &quote, 1);
	for (; *text; text++) {
		if (*text == quote || *text == '\\')
			gt_buf_printf(out, "\\%c", *text);
		else if (*text == '\n' || *text == '\r' || *text == '\t')
			gt_buf_printf(out, "\\%c", *text == '\n' ? 'n' : *text == '\r' ? 'r' : 't');
		else
			gt_buf_append(out, text, 1);
	}
	gt_buf_append(out, &quote, 1);
}

static void put_python_object(struct gt_buf *out, const json_t *value)
{
	const char *key, *between = "";
	json_t *item;
	gt_buf_puts(out, "{");
	json_object_foreach((json_t *)value, key, item) {
		gt_buf_puts(out, between);
		put_python_string(out, key);
		gt_buf_puts(out, ": ");
		put_python(out, item);
		between = ", ";
	}
	gt_buf_puts(out, "}");
}

static void put_python_array(struct gt_buf *out, const json_t *value)
{
	size_t i;
	json_t *item;
	gt_buf_puts(out, "[");
	json_array_foreach(value, i, item) {
		gt_buf_puts(out, i ? ", " : "");
		put_python(out, item);
	}
	gt_buf_puts(out, "]");
}

static void put_python(struct gt_buf *out, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		put_python_object(out, value);
		break;
	case JSON_ARRAY:
		put_python_array(out, value);
		break;
	case JSON_STRING:
		put_python_string(out, json_string_value(value));
		break;
	case JSON_INTEGER:
		gt_buf_printf(out, "%lld", (long long)json_integer_value(value));
		break;
	case JSON_REAL: {
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		gt_buf_puts(out, text ? text : "");
		free(text);
		break;
	}
	default:
		gt_buf_puts(out, json_is_true(value)    ? "True"
		                 : json_is_false(value) ? "False"
		                                        : "None");
	}
}

static void put_arguments(struct gt_buf *out, const json_t *run)
{
	struct gt_buf line = {0};
	const char *key, *between = "";
	json_t *value;
	gt_buf_puts(&line, "Namespace(");
	json_object_foreach(json_object_get(run, "options"), key, value) {
		gt_buf_printf(&line, "%s%s=", between, key);
		put_python(&line, value);
		between = ", ";
	}
	static const char *const more[] = {"stages", "jobs"};
	for (size_t i = 0; i < GT_COUNTOF(more); i++) {
		value = json_object_get(run, more[i]);
		if (!value)
			continue;
		gt_buf_printf(&line, "%s%s=", between, more[i]);
		put_python(&line, value);
		between = ", ";
	}
	gt_buf_puts(&line, ")");
	put_escaped(out, gt_buf_text(&line));
	gt_buf_free(&line);
}

// --- the tables ---

struct counts {
	size_t total; // tests with a terminal state
	size_t failed[GROUPS];
};

static struct counts count(const struct gt_result *r)
{
	struct counts c = {0};
	for (size_t i = 0; i < r->test_count; i++) {
		const struct gt_test_result *t = &r->tests[i];
		enum gt_stage_id stage = gt_stage_parse(t->stage);
		c.total += *t->status != '\0';
		if (stage != GT_STAGE_COUNT)
			c.failed[stage_groups[stage]]++;
	}
	return c;
}

static void put_summaries(struct gt_buf *out, const struct counts *c)
{
	size_t attempted = c->total;
	gt_buf_printf(out, "## Passing Summary\n\n**TOTAL TESTS = %zu**\n", c->total);
	gt_buf_puts(out, "|Stage|# Passing|% of Total|% of Attempted|\n|--|--|--|--|\n");
	for (int g = 0; g < GROUPS; g++) {
		size_t passed = attempted - c->failed[g];
		gt_buf_printf(out, "| %s%s | %zu | %.1f%% | %.1f%% |\n", group_names[g],
		              g == GROUP_COMPARISON ? " (PASS)" : "", passed,
		              percent(passed, c->total), percent(passed, attempted));
		attempted = passed;
	}
	gt_buf_printf(out, "## Fail Summary\n\n**TOTAL TESTS = %zu**\n", c->total);
	gt_buf_puts(out, "|Stage|# Failed at Stage|% of Total|\n|--|--|--|\n");
	for (int g = 0; g < GROUPS; g++)
		gt_buf_printf(out, "| %s | %zu | %.1f%% |\n", group_names[g], c->failed[g],
		              percent(c->failed[g], c->total));
}

static const char *between(const struct gt_buf *note)
{
	return note->length ? "; " : "";
}

static void put_notes(struct gt_buf *out, const struct gt_test_result *t)
{
	struct gt_buf note = {0};
	char *why = gt_text_why(t, false);
	gt_text_cut(&note, why, MAX_NOTE);
	if (t->flaky)
		gt_buf_printf(&note, "%sflaky", between(&note));
	if (t->leftovers)
		gt_buf_printf(&note, "%sleft running: %s", between(&note), *t->leaked ? t->leaked : "?");
	if (t->vacuous && strcmp(t->status, GT_STATUS_PASS) == 0)
		gt_buf_printf(&note, "%svacuous", between(&note));
	if (note.length) {
		gt_buf_puts(out, " ");
		put_escaped(out, gt_buf_text(&note));
	}
	gt_buf_free(&note);
	free(why);
}

static void put_detail(struct gt_buf *out, const struct gt_result *r)
{
	gt_buf_puts(out, "## Test Run Detail\nTest was run with the following arguments:\n");
	put_arguments(out, r->run);
	gt_buf_puts(out, "\n\n| Test | Exit Status | Mean Benchmark Time (ms) | Notes |\n");
	gt_buf_puts(out, "|--|--|--|--|\n");
	for (size_t i = 0; i < r->test_count; i++) {
		const struct gt_test_result *t = &r->tests[i];
		if (!*t->status)
			continue;
		gt_buf_puts(out, "| ");
		put_escaped(out, t->id);
		gt_buf_printf(out, " | %s | None |", t->status);
		put_notes(out, t);
		gt_buf_puts(out, " |\n");
	}
}

static gt_code write_markdown(const struct gt_result *r, const char *path, struct gt_err *err)
{
	struct gt_buf out = {0};
	struct counts c = count(r);
	if (!r->complete)
		gt_buf_printf(&out, "**INCOMPLETE RUN: %zu of %zu tests have a result**\n\n",
		              c.total, gt_result_selected(r));
	put_summaries(&out, &c);
	put_detail(&out, r);
	gt_code rc = gt_file_write(path, out.data, out.length, err);
	gt_buf_free(&out);
	return rc;
}

static gt_code write_json(const struct gt_result *r, const char *path, struct gt_err *err)
{
	json_t *all = json_object();
	for (size_t i = 0; i < r->test_count; i++) {
		const struct gt_test_result *t = &r->tests[i];
		if (!*t->status)
			continue;
		json_t *test = json_object();
		gt_json_set(test, "exit_status", gt_json_text(t->status));
		gt_json_set(test, "time_ms", json_null());
		gt_json_set(all, t->id, test);
	}
	char *text = json_dumps(all, JSON_INDENT(4) | JSON_SORT_KEYS);
	json_decref(all);
	if (!text)
		return gt_fail(err, GT_INTERNAL, "cannot write '%s' as JSON", path);
	gt_code rc = gt_file_write(path, text, strlen(text), err);
	free(text);
	return rc;
}

char *gt_report_json_path(const char *path, struct gt_err *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	size_t stem = dot && dot != name ? (size_t)(dot - path) : strlen(path);
	if (strcmp(path + stem, ".json") != 0)
		return gt_format("%.*s.json", (int)stem, path);
	gt_fail(err, GT_BAD_USAGE,
	        "the report file '%s' has the name of the JSON report that is written beside it; end "
	        "it in .md", path);
	return NULL;
}

gt_code gt_report_markdown(const struct gt_result *r, const char *path, struct gt_err *err)
{
	char *beside = gt_report_json_path(path, err);
	if (!beside)
		return GT_BAD_USAGE;
	gt_code rc = write_markdown(r, path, err);
	if (!rc)
		rc = write_json(r, beside, err);
	free(beside);
	return rc;
}
