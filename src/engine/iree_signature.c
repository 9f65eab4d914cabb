#include "engine/iree_signature.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Is `element` the MLIR name of any ONNX type, with or without a sign?
static bool element_is_known(const char *element)
{
	for (int type = 1; type < GT_DTYPE_COUNT; type++) {
		const struct gt_dtype_row *row = gt_dtype_row((enum gt_dtype)type);
		if (!row || row->class == GT_CLASS_STRING)
			continue;
		char sized[16];
		snprintf(sized, sizeof sized, "i%u", row->bits);
		bool integer = row->class == GT_CLASS_SIGNED || row->class == GT_CLASS_UNSIGNED;
		if (strcmp(row->mlir, element) == 0 ||
		    (integer && (strcmp(sized, element) == 0 ||
		                 (element[0] == 's' && strcmp(sized, element + 1) == 0))))
			return true;
	}
	return false;
}

bool gt_iree_element_fits(const char *element, enum gt_dtype type)
{
	const struct gt_dtype_row *row = gt_dtype_row(type);
	if (!row || !element_is_known(element))
		return true;
	char signless[16], with_sign[16];
	snprintf(signless, sizeof signless, "i%u", row->bits);
	snprintf(with_sign, sizeof with_sign, "%ci%u", row->class == GT_CLASS_SIGNED ? 's' : 'u',
	         row->bits);
	if (row->class == GT_CLASS_SIGNED || row->class == GT_CLASS_UNSIGNED)
		return strcmp(element, signless) == 0 || strcmp(element, with_sign) == 0;
	return strcmp(element, row->mlir) == 0;
}

// "tensor<?x3xf32>" and the like. Encodings ("tensor<4xf32, #enc>") and unranked tensors are left
// to the runtime.
static void parse_tensor(struct gt_iree_port *port)
{
	static const char head[] = "tensor<";
	const char *p = port->type;
	if (strncmp(p, head, sizeof head - 1) != 0)
		return;
	p += sizeof head - 1;
	while (*p == '?' || isdigit((unsigned char)*p)) {
		int64_t dim = -1;
		char *end = (char *)p + 1;
		if (*p != '?')
			dim = strtoll(p, &end, 10);
		if (*end != 'x' || port->rank == GT_MAX_RANK)
			return;
		port->dims[port->rank++] = dim;
		p = end + 1;
	}
	size_t length = strlen(p);
	if (length < 2 || p[length - 1] != '>' || length > sizeof port->element)
		return;
	memcpy(port->element, p, length - 1);
	port->element[length - 1] = '\0';
	port->tensor = element_is_known(port->element);
}

static void add_port(struct gt_iree_signature *out, const char *text, size_t length)
{
	const char *colon = memchr(text, ':', length);
	if (!colon)
		return;
	const char *start = colon + 1, *end = text + length;
	while (start < end && *start == ' ')
		start++;
	while (end > start && end[-1] == ' ')
		end--;
	out->inputs = gt_realloc(out->inputs, out->input_count + 1, sizeof *out->inputs);
	struct gt_iree_port *port = &out->inputs[out->input_count++];
	*port = (struct gt_iree_port){.type = gt_strndup(start, (size_t)(end - start))};
	parse_tensor(port);
}

void gt_iree_signature_parse(const char *text, size_t length, struct gt_iree_signature *out)
{
	*out = (struct gt_iree_signature){0};
	const char *end = text + length;
	const char *at = length ? memchr(text, '@', length) : NULL;
	const char *open = at ? memchr(at, '(', (size_t)(end - at)) : NULL;
	if (!open)
		return;
	int depth = 0;
	const char *start = open + 1;
	for (const char *p = open; p < end; p++) {
		// Types nest in all brackets; the '>' of an arrow closes nothing.
		bool arrow = *p == '>' && p[-1] == '-';
		if (strchr("([{<", *p) && *p)
			depth++;
		else if (strchr(")]}>", *p) && *p && !arrow)
			depth--;
		bool last = depth == 0;
		if (last || (depth == 1 && *p == ',')) {
			add_port(out, start, (size_t)(p - start));
			start = p + 1;
		}
		if (last) {
			out->known = true;
			return;
		}
	}
	gt_iree_signature_free(out);
}

void gt_iree_signature_free(struct gt_iree_signature *signature)
{
	for (size_t i = 0; i < signature->input_count; i++)
		free(signature->inputs[i].type);
	free(signature->inputs);
	*signature = (struct gt_iree_signature){0};
}

static bool shape_fits(const struct gt_iree_port *port, const struct gt_tensor *t)
{
	if (t->rank != port->rank)
		return false;
	for (uint32_t i = 0; i < t->rank; i++)
		if (port->dims[i] >= 0 && port->dims[i] != t->dims[i])
			return false;
	return true;
}

gt_code gt_iree_check_input(const struct gt_iree_port *port, size_t index,
                            const struct gt_value *value, struct gt_err *err)
{
	const struct gt_tensor *t = &value->tensor;
	if (!port->tensor)
		return GT_OK;
	if (gt_iree_element_fits(port->element, t->type) && shape_fits(port, t))
		return GT_OK;
	struct gt_buf is = {0};
	gt_tensor_describe(t, &is);
	size_t n = strlen(port->type);
	gt_fail(err, GT_MISMATCH, "input %zu '%s' is %s (%s) but the module takes %.*s", index,
	        value->name ? value->name : "", gt_buf_text(&is), gt_dtype_name(t->type),
	        (int)(n - sizeof "tensor<"), port->type + sizeof "tensor<" - 1);
	gt_buf_free(&is);
	return GT_MISMATCH;
}
