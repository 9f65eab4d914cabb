#include "engine/iree_flags.h"

#include <stdlib.h>
#include <string.h>

#define NO_MODULE "it would leave no module to run; --dump-compilation-phases-to=FOLDER shows every phase"
#define NOT_HERE "it belongs to the command iree-compile and means nothing here"

enum meaning { FROM, TO, DUMP, VERIFY, OUTPUT_FORMAT, REFUSED };

static const struct {
	const char *name;
	enum meaning meaning;
	const char *why; // of a refusal
} tool_flags[] = {
	{"compile-from", FROM, NULL},
	{"compile-to", TO, NULL},
	{"dump-compilation-phases-to", DUMP, NULL},
	{"verify", VERIFY, NULL},
	{"output-format", OUTPUT_FORMAT, NULL},
	{"compile-mode", REFUSED, NOT_HERE},
	{"split-input-file", REFUSED, NOT_HERE},
	{"list-hal-target-backends", REFUSED, "gauntlet run --help lists the backends"},
	{"list-hal-target-devices", REFUSED, NOT_HERE},
	{"o", REFUSED, "the module is written to the test's folder"},
	{"help", REFUSED, "ask iree-compile itself"},
	{"version", REFUSED, "gauntlet doctor says it"},
};

static gt_code refuse(const char *flag, const char *why, struct gt_err *err)
{
	return gt_fail(err, GT_BAD_USAGE, "flag '%s': %s", flag, why);
}

static gt_code take(struct gt_iree_flags *out, enum meaning meaning, const char *why,
                    const char *flag, const char *value, struct gt_err *err)
{
	switch (meaning) {
	case FROM:
		free(out->compile_from);
		out->compile_from = gt_strdup(value);
		break;
	case TO:
		if (strcmp(value, "end") != 0)
			return refuse(flag, NO_MODULE, err);
		break;
	case DUMP:
		free(out->dump_phases_to);
		out->dump_phases_to = gt_strdup(value);
		break;
	case VERIFY:
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return refuse(flag, "true or false is wanted", err);
		out->verify = strcmp(value, "true") == 0;
		break;
	case OUTPUT_FORMAT:
		if (strcmp(value, "vm-bytecode") != 0)
			return refuse(flag, NO_MODULE, err);
		break;
	case REFUSED:
		return refuse(flag, why, err);
	}
	return GT_OK;
}

gt_code gt_iree_flags_split(const struct gt_names *flags, struct gt_iree_flags *out,
                            struct gt_err *err)
{
	*out = (struct gt_iree_flags){.verify = true};
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && flags && i < flags->count; i++) {
		const char *flag = flags->items[i];
		const char *name = flag + strspn(flag, "-");
		size_t n = strcspn(name, "="), k = 0;
		while (k < GT_COUNTOF(tool_flags) && (strlen(tool_flags[k].name) != n ||
		                                      strncmp(tool_flags[k].name, name, n) != 0))
			k++;
		if (k == GT_COUNTOF(tool_flags)) {
			gt_names_add(&out->library, flag);
			continue;
		}
		const char *value = name[n] ? name + n + 1 : "";
		if (!*value && tool_flags[k].meaning == VERIFY)
			value = "true"; // the only one that stands for itself
		if (!*value && tool_flags[k].meaning != REFUSED)
			rc = refuse(flag, "a value is missing, as in --name=value", err);
		else
			rc = take(out, tool_flags[k].meaning, tool_flags[k].why, flag, value, err);
	}
	return rc;
}

void gt_iree_flags_free(struct gt_iree_flags *flags)
{
	gt_names_free(&flags->library);
	free(flags->compile_from);
	free(flags->dump_phases_to);
	*flags = (struct gt_iree_flags){0};
}
