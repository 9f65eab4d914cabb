#include "cli/arguments.h"

#include "suite/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- tables ----

static size_t find_long(const struct gt_arg_command *command, const char *name, size_t length)
{
	for (size_t i = 0; i < command->count; i++) {
		const char *own = command->rows[i].name;
		if (own && strlen(own) == length && strncmp(own, name, length) == 0)
			return i;
	}
	return SIZE_MAX;
}

static size_t find_letter(const struct gt_arg_command *command, char letter)
{
	for (size_t i = 0; i < command->count; i++)
		if (command->rows[i].letter && command->rows[i].letter == letter)
			return i;
	return SIZE_MAX;
}

gt_code gt_arg_check(const struct gt_arg_command *command, struct gt_err *err)
{
	for (size_t i = 0; i < command->count; i++) {
		const struct gt_arg_row *row = &command->rows[i];
		bool heading = row->kind == GT_ARG_HEADING;
		bool valued = row->kind == GT_ARG_VALUE || row->kind == GT_ARG_LIST;
		if (!row->help || !row->help[0])
			return gt_fail(err, GT_INTERNAL, "row %zu has no help text", i);
		if (heading != !row->name || valued != (row->metavar != NULL) ||
		    (heading && row->letter))
			return gt_fail(err, GT_INTERNAL, "row %zu does not fit its kind", i);
		if (heading)
			continue;
		if (find_long(command, row->name, strlen(row->name)) != i)
			return gt_fail(err, GT_INTERNAL, "flag '--%s' is there twice", row->name);
		if (row->letter && find_letter(command, row->letter) != i)
			return gt_fail(err, GT_INTERNAL, "flag '-%c' is there twice", row->letter);
	}
	return GT_OK;
}

// ---- words ----

struct parser {
	const struct gt_arg_command *command;
	const char *const *words;
	size_t count, at; // `at` is the next word
	struct gt_args *out;
	struct gt_err *err;
};

// Negative numbers are values, as in argparse.
static bool looks_like_flag(const char *word)
{
	return word[0] == '-' && word[1] != '\0' && !gt_arg_is_number(word);
}

static const char *nearest_flag(const struct gt_arg_command *command, const char *typed)
{
	const char *best = NULL;
	size_t best_rate = SIZE_MAX;
	for (size_t i = 0; i < command->count; i++) {
		const char *name = command->rows[i].name;
		size_t rate = name ? gt_nearness(typed, name) : SIZE_MAX;
		if (rate < best_rate) {
			best_rate = rate;
			best = name;
		}
	}
	return best;
}

// `list` is the list flag whose values came just before, or NULL: the word may have been meant so.
static gt_code fail_unknown(const struct parser *p, const char *word, const struct gt_arg_row *list)
{
	const char *begin = word + strspn(word, "-");
	char *typed = gt_strndup(begin, strcspn(begin, "="));
	const char *near = nearest_flag(p->command, typed);
	int shown = (int)strcspn(word, "=");
	gt_code rc;
	if (near)
		rc = gt_fail(p->err, GT_BAD_USAGE, "unknown flag '%.*s'; did you mean '--%s'?",
		             shown, word, near);
	else if (list)
		rc = gt_fail(p->err, GT_BAD_USAGE,
		             "unknown flag '%.*s'; as a value of '--%s' write '--%s=%s'",
		             shown, word, list->name, list->name, word);
	else
		rc = gt_fail(p->err, GT_BAD_USAGE, "unknown flag '%.*s'; '%s --help' lists them",
		             shown, word, p->command->name);
	free(typed);
	return rc;
}

// Give row `i` its values: `joined` if there is one, else the words that follow.
static gt_code take_values(struct parser *p, size_t i, const char *joined)
{
	const struct gt_arg_row *row = &p->command->rows[i];
	struct gt_names *values = &p->out->values[i];
	p->out->given[i] = true;
	if (row->kind == GT_ARG_FLAG) {
		if (!joined)
			return GT_OK;
		return gt_fail(p->err, GT_BAD_USAGE,
		               "flag '--%s' takes no value, but was given '%s'", row->name,
		               joined);
	}
	if (joined) {
		gt_names_add(values, joined);
		return GT_OK;
	}
	if (row->kind == GT_ARG_LIST) {
		while (p->at < p->count && !looks_like_flag(p->words[p->at]))
			gt_names_add(values, p->words[p->at++]);
		return GT_OK;
	}
	if (p->at == p->count)
		return gt_fail(p->err, GT_BAD_USAGE, "flag '--%s' needs a value (%s)", row->name,
		               row->metavar);
	const char *word = p->words[p->at];
	if (looks_like_flag(word))
		return gt_fail(p->err, GT_BAD_USAGE,
		               "flag '--%s' needs a value (%s) before '%s'; if that is the value, "
		               "write '--%s=%s'",
		               row->name, row->metavar, word, row->name, word);
	gt_names_add(values, word);
	p->at++;
	return GT_OK;
}

static gt_code take_long(struct parser *p, const char *word, const struct gt_arg_row *list)
{
	const char *name = word + 2;
	size_t length = strcspn(name, "=");
	size_t i = find_long(p->command, name, length);
	if (i == SIZE_MAX)
		return fail_unknown(p, word, list);
	return take_values(p, i, name[length] ? name + length + 1 : NULL);
}

// A word of one '-': letters without values, the last of which may have one.
static gt_code take_letters(struct parser *p, const char *word, const struct gt_arg_row *list)
{
	// "-report" would be -r with the folder "eport": nobody means that.
	if (word[2] && find_long(p->command, word + 1, strcspn(word + 1, "=")) != SIZE_MAX)
		return fail_unknown(p, word, NULL);
	// Nothing is set before the whole word is understood.
	for (const char *c = word + 1; *c; c++) {
		size_t i = find_letter(p->command, *c);
		if (i == SIZE_MAX)
			return fail_unknown(p, word, list);
		if (p->command->rows[i].kind != GT_ARG_FLAG || c[1] == '=')
			break;
	}
	for (const char *c = word + 1; *c; c++) {
		size_t i = find_letter(p->command, *c);
		const char *joined = c[1] == '=' ? c + 2 : c[1] ? c + 1 : NULL;
		bool last = p->command->rows[i].kind != GT_ARG_FLAG || c[1] == '=';
		gt_code rc = take_values(p, i, last ? joined : NULL);
		if (rc || last)
			return rc;
	}
	return GT_OK;
}

static gt_code check_positionals(const struct parser *p)
{
	const struct gt_arg_positional *want = &p->command->positional;
	const struct gt_names *got = &p->out->positionals;
	size_t most = want->metavar ? want->most : 0;
	if (got->count > most)
		return gt_fail(p->err, GT_BAD_USAGE, "unexpected argument '%s'; '%s' takes %s",
		               got->items[most], p->command->name,
		               most ? "no more of them" : "none");
	if (want->metavar && got->count < want->least)
		return gt_fail(p->err, GT_BAD_USAGE, "'%s' needs %zu argument%s (%s), not %zu",
		               p->command->name, want->least, want->least == 1 ? "" : "s",
		               want->metavar, got->count);
	return GT_OK;
}

gt_code gt_arg_parse(const struct gt_arg_command *command, size_t count, const char *const *words,
                     struct gt_args *out, struct gt_err *err)
{
	*out = (struct gt_args){
		.command = command,
		.given = gt_zalloc(command->count, sizeof *out->given),
		.values = gt_zalloc(command->count, sizeof *out->values),
	};
	struct parser p = {command, words, count, 0, out, err};
	const struct gt_arg_row *list = NULL;
	gt_code rc = GT_OK;
	while (!rc && p.at < count) {
		const char *word = words[p.at++];
		if (strcmp(word, "--") == 0) {
			while (p.at < count)
				gt_names_add(&out->positionals, words[p.at++]);
			break;
		}
		if (!looks_like_flag(word)) {
			gt_names_add(&out->positionals, word);
			continue;
		}
		rc = word[1] == '-' ? take_long(&p, word, list) : take_letters(&p, word, list);
		// Remembered for the sentence about a flag that follows a list at once.
		size_t i = word[1] == '-' ? find_long(command, word + 2, strlen(word + 2))
		                          : find_letter(command, word[1]);
		bool is_list = i != SIZE_MAX && command->rows[i].kind == GT_ARG_LIST;
		list = is_list ? &command->rows[i] : NULL;
	}
	return rc ? rc : check_positionals(&p);
}

void gt_arg_free(struct gt_args *args)
{
	for (size_t i = 0; args->values && i < args->command->count; i++)
		gt_names_free(&args->values[i]);
	gt_names_free(&args->positionals);
	free(args->values);
	free(args->given);
	*args = (struct gt_args){0};
}

// ---- what was given ----

static size_t must_find(const struct gt_args *args, const char *name)
{
	size_t i = find_long(args->command, name, strlen(name));
	if (i == SIZE_MAX) {
		fprintf(stderr, "gauntlet: '%s' has no flag '--%s' (a mistake in this program)\n",
		        args->command->name, name);
		abort();
	}
	return i;
}

bool gt_arg_given(const struct gt_args *args, const char *name)
{
	return args->given[must_find(args, name)];
}

const char *gt_arg_text(const struct gt_args *args, const char *name, const char *fallback)
{
	const struct gt_names *values = &args->values[must_find(args, name)];
	return values->count ? values->items[values->count - 1] : fallback;
}

const struct gt_names *gt_arg_list(const struct gt_args *args, const char *name)
{
	return &args->values[must_find(args, name)];
}

// ---- help ----

#define HELP_WIDTH 80
#define HELP_COLUMN 30 // where help texts of flags begin

// Append `text`, whose first line starts at column `at`, broken between words; the lines after the
// first are indented by `indent`. A newline in the text stays.
static void wrap(struct gt_buf *out, const char *text, size_t at, size_t indent)
{
	bool fresh = true; // nothing on this line yet
	while (*text) {
		size_t n = strcspn(text, " \n");
		if (n && !fresh && at + 1 + n > HELP_WIDTH) {
			gt_buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
			fresh = true;
		}
		if (n && !fresh) {
			gt_buf_puts(out, " ");
			at++;
		}
		gt_buf_append(out, text, n);
		at += n;
		fresh = fresh && n == 0;
		text += n;
		if (*text == '\n') {
			gt_buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
			fresh = true;
		}
		text += *text != '\0';
	}
	gt_buf_puts(out, "\n");
}

// "  label", then the text in the column of texts: on the same line if the label leaves room.
static void add_entry(struct gt_buf *out, const char *label, const char *text)
{
	size_t length = 2 + strlen(label);
	gt_buf_printf(out, "  %s", label);
	if (length + 2 > HELP_COLUMN)
		gt_buf_printf(out, "\n%*s", HELP_COLUMN, "");
	else
		gt_buf_printf(out, "%*s", (int)(HELP_COLUMN - length), "");
	wrap(out, text, HELP_COLUMN, HELP_COLUMN);
}

static void add_row(struct gt_buf *out, const struct gt_arg_row *row)
{
	struct gt_buf label = {0};
	if (row->letter)
		gt_buf_printf(&label, "-%c, --%s", row->letter, row->name);
	else
		gt_buf_printf(&label, "    --%s", row->name);
	if (row->kind == GT_ARG_VALUE)
		gt_buf_printf(&label, " %s", row->metavar);
	if (row->kind == GT_ARG_LIST)
		gt_buf_printf(&label, " [%s ...]", row->metavar);
	add_entry(out, gt_buf_text(&label), row->help);
	gt_buf_free(&label);
}

void gt_arg_help(const struct gt_arg_command *command, struct gt_buf *out)
{
	const struct gt_arg_positional *positional = &command->positional;
	gt_buf_printf(out, "usage: %s", command->name);
	if (command->count)
		gt_buf_puts(out, " [flags]");
	if (positional->metavar) {
		// One metavar with several words names them all.
		size_t times = strchr(positional->metavar, ' ') ? 1 : positional->least;
		for (size_t i = 0; i < times; i++)
			gt_buf_printf(out, " %s", positional->metavar);
		if (positional->most > positional->least)
			gt_buf_printf(out, " [%s%s]", positional->metavar,
			              positional->most - positional->least > 1 ? " ..." : "");
	}
	gt_buf_puts(out, "\n\n");
	wrap(out, command->summary, 0, 0);
	if (positional->metavar) {
		gt_buf_puts(out, "\n");
		add_entry(out, positional->metavar, positional->help);
	}
	for (size_t i = 0; i < command->count; i++) {
		const struct gt_arg_row *row = &command->rows[i];
		if (row->kind == GT_ARG_HEADING) {
			gt_buf_printf(out, "\n%s:\n", row->help);
			continue;
		}
		if (i == 0)
			gt_buf_puts(out, "\n");
		add_row(out, row);
	}
}
