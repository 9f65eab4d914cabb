// cli/arguments.h - the command line: constant tables of flags in, values and help text out.
//
// Every command has one table (struct gt_arg_command). The grammar, after Python's argparse:
//   --name VALUE, --name=VALUE, -x VALUE, -xVALUE, -x=VALUE
//   -vj4              letters may be joined, the last of which may take a value
//   --name V1 V2 ...  a list ends at the next flag, at "--", or at the end; it may be empty
//   --name=VALUE      for a list adds this one value, even if it begins with '-'
//   --                everything after it is positional
// What begins with '-' is a flag, but for "-" alone and negative numbers. Every flag may be
// repeated: the values of a list add up, and a single value keeps all of them (gt_arg_list) with
// the last one as the one that counts (gt_arg_text). Positionals stand before, between and after
// flags. Abbreviated names are not accepted. All failures are GT_BAD_USAGE.
#ifndef GT_CLI_ARGUMENTS_H
#define GT_CLI_ARGUMENTS_H

#include "base/file.h"

#include <stdint.h>

enum gt_arg_kind {
	GT_ARG_HEADING, // no flag: `help` is the title of the group of rows that follow
	GT_ARG_FLAG,    // given or not
	GT_ARG_VALUE,   // one value each time
	GT_ARG_LIST,    // any number of values each time
};

struct gt_arg_row {
	char letter;          // short name, 0 if there is none
	const char *name;     // long name without "--"; NULL for a heading
	enum gt_arg_kind kind;
	const char *metavar;  // what a value is called in the help: "REGEX"; NULL for a flag
	const char *help;     // one or two sentences; wrapped by gt_arg_help()
};

// Positional arguments, in the help after the usage line.
struct gt_arg_positional {
	const char *metavar; // "TEST"; NULL if the command takes none
	const char *help;
	size_t least, most;  // how many; most = SIZE_MAX for any number
};

struct gt_arg_command {
	const char *name;    // "gauntlet run"
	const char *summary; // paragraphs, separated by a newline; wrapped by gt_arg_help()
	struct gt_arg_positional positional;
	const struct gt_arg_row *rows;
	size_t count;
};

// What was given. Owns everything but `command`.
struct gt_args {
	const struct gt_arg_command *command;
	bool *given;              // one a row
	struct gt_names *values;  // one a row, in the order given
	struct gt_names positionals;
};

// Parse the words after the command's name. `out` is filled as far as the parsing came even when
// it fails (so that --help before a mistake still helps): free it in any case.
GT_MUST_USE gt_code gt_arg_parse(const struct gt_arg_command *command, size_t count,
                                 const char *const *words, struct gt_args *out,
                                 struct gt_err *err);
void gt_arg_free(struct gt_args *args);

// By long name, which must be in the table. Borrowed.
bool gt_arg_given(const struct gt_args *args, const char *name);
const char *gt_arg_text(const struct gt_args *args, const char *name, const char *fallback);
const struct gt_names *gt_arg_list(const struct gt_args *args, const char *name);

// The help text of a command, at most 80 columns wide where words allow.
void gt_arg_help(const struct gt_arg_command *command, struct gt_buf *out);

// Check a table itself, for its tests: GT_INTERNAL for a name or letter that is there twice, a
// missing help text, a value without metavar.
GT_MUST_USE gt_code gt_arg_check(const struct gt_arg_command *command, struct gt_err *err);

// ---- values ----
// `flag` is the flag's long name without "--", for the sentence.

// True for a number in decimal notation, with nothing before or after it.
bool gt_arg_is_number(const char *text);

// A finite number in decimal notation; the whole of the text.
GT_MUST_USE gt_code gt_arg_double(const char *flag, const char *text, double *out,
                                  struct gt_err *err);

// A decimal integer from least to most.
GT_MUST_USE gt_code gt_arg_integer(const char *flag, const char *text, int64_t least, int64_t most,
                                   int64_t *out, struct gt_err *err);

// A duration, not negative: "5" (seconds), "1.5", "500ms", "30s", "2m", "1h"; at most a year.
GT_MUST_USE gt_code gt_arg_seconds(const char *flag, const char *text, double *out,
                                   struct gt_err *err);

// A size in bytes above 0: "4096", "512K", "512M", "4G" (powers of 1024; "MiB" and the like too).
GT_MUST_USE gt_code gt_arg_size(const char *flag, const char *text, uint64_t *out,
                                struct gt_err *err);

// One of a NULL-terminated list of words; *out is its position.
GT_MUST_USE gt_code gt_arg_choice(const char *flag, const char *text, const char *const *choices,
                                  size_t *out, struct gt_err *err);

// "NAME=VALUE", split at the last '='. *name is allocated; *value points into `text`.
GT_MUST_USE gt_code gt_arg_pair(const char *flag, const char *text, char **name,
                                const char **value, struct gt_err *err);

// --tolerance ATOL [RTOL]: the order that the help of alt_e2eshark gives and that e2eshark, which
// alone obeyed it, used. One number is both. Neither may be negative.
GT_MUST_USE gt_code gt_arg_tolerance(const char *flag, const struct gt_names *values, double *atol,
                                     double *rtol, struct gt_err *err);

#endif // GT_CLI_ARGUMENTS_H
