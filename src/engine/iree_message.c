#include "engine/iree_message.h"

#include "engine/iree_signature.h"

#include <stdlib.h>
#include <string.h>

static void shorten(const char *start, size_t *length, const char *at)
{
	const char *found = memmem(start, *length, at, strlen(at));
	if (found)
		*length = (size_t)(found - start);
}

void gt_iree_sentence(const char *text, struct gt_buf *out)
{
	const char *code = strstr(text, ": ");
	code = code ? code + 2 : text;
	size_t code_length = strcspn(code, ";\n");
	const char *p = code + code_length;
	p += strspn(p, "; ");
	size_t length = strcspn(p, "\n");
	shorten(p, &length, "; while ");
	shorten(p, &length, ": #"); // an MLIR attribute, often pages of CPU features
	while (length && strchr(" ;.", p[length - 1]))
		length--;
	if (length)
		gt_buf_printf(out, "%.*s (%.*s)", (int)length, p, (int)code_length, code);
	else
		gt_buf_printf(out, "%.*s", (int)code_length, code);
}

// The text between `before` and the next of `ends`. Allocated; NULL if it is not there.
static char *between(const char *text, const char *before, const char *ends)
{
	const char *start = strstr(text, before);
	if (!start)
		return NULL;
	start += strlen(before);
	return gt_strndup(start, strcspn(start, ends));
}

// Length of "file:line:column: " at the start of a text; 0 if it does not begin so.
static size_t place_length(const char *text)
{
	size_t file = strcspn(text, ":\n ");
	const char *p = text + file;
	for (int i = 0; i < 2; i++) {
		size_t digits = *p == ':' ? strspn(p + 1, "0123456789") : 0;
		if (!digits)
			return 0;
		p += 1 + digits;
	}
	return file && p[0] == ':' && p[1] == ' ' ? (size_t)(p - text) + 2 : 0;
}

static void cut_at(char *text, const char *at)
{
	char *found = strstr(text, at);
	if (found)
		*found = '\0';
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

void gt_iree_diagnostic(const char *text, size_t length, struct gt_buf *out)
{
	static const char nowhere[] = "loc(unknown): ";
	static const char legalize[] = "failed to legalize operation '";
	char *copy = gt_strndup(text, length);
	cut_at(copy, "\n");
	size_t place = place_length(copy);
	char *cause = copy + (place ? place : starts_with(copy, nowhere) ? sizeof nowhere - 1 : 0);
	char *operator = NULL;
	if (starts_with(cause, legalize)) {
		if (starts_with(cause + sizeof legalize - 1, "torch.operator'"))
			operator = between(cause, "name = \"", "\"");
		cut_at(cause, " that was explicitly marked illegal");
	}
	cut_at(cause, ": %");
	cut_at(cause, ": \"");
	if (operator)
		gt_buf_printf(out, "failed to legalize '%s'", operator);
	else
		gt_buf_puts(out, cause);
	while (out->length && strchr(" \t\r:", out->data[out->length - 1]))
		out->data[--out->length] = '\0';
	if (place)
		gt_buf_printf(out, " at %.*s", (int)place - 2, copy);
	free(operator);
	free(copy);
}

static char *shape_of(const struct gt_tensor *t)
{
	struct gt_buf text = {0};
	for (uint32_t i = 0; i < t->rank; i++)
		gt_buf_printf(&text, "%s%lld", i ? "x" : "", (long long)t->dims[i]);
	return gt_buf_take(&text);
}

// The only input that has that element type (or, if `shape`, that shape); NULL if none or several.
static const struct gt_value *only_input(const struct gt_values *inputs, const char *like,
                                         bool shape, size_t *index)
{
	const struct gt_value *found = NULL;
	for (size_t i = 0; i < inputs->count; i++) {
		const struct gt_tensor *t = &inputs->items[i].tensor;
		char *dims = shape_of(t);
		bool same = shape ? strcmp(dims, like) == 0 : gt_iree_element_fits(like, t->type);
		free(dims);
		if (!same)
			continue;
		if (found)
			return NULL;
		found = &inputs->items[i];
		*index = i;
	}
	return found;
}

bool gt_iree_input_mismatch(const char *text, const struct gt_values *inputs, struct gt_err *err)
{
	if (!strstr(text, "hal.buffer_view.assert"))
		return false;
	bool shape = strstr(text, "actual shape `") != NULL;
	char *has = shape ? between(text, "actual shape `", "`") : between(text, "but have ", " (");
	char *wants = shape ? between(text, "expected shape `", "`") : between(text, "expected ", " (");
	bool understood = has && wants && (shape || strstr(text, "element type mismatch"));
	if (understood) {
		size_t index = 0;
		const struct gt_value *input = only_input(inputs, has, shape, &index);
		const char *what = shape ? "shape " : "";
		// A scalar has no dimensions to print.
		const char *is = has[0] ? has : "[]", *takes = wants[0] ? wants : "[]";
		if (input)
			gt_fail(err, GT_MISMATCH, "input %zu '%s' is %s%s but the module takes %s%s", index,
			        input->name ? input->name : "", shape ? "of shape " : "", is, what, takes);
		else
			gt_fail(err, GT_MISMATCH, "an input is %s%s but the module takes %s%s",
			        shape ? "of shape " : "", is, what, takes);
	}
	free(has);
	free(wants);
	return understood;
}
