// suite/select.h - which cases run: names, a filter, a file of names. Everything given must hold.
#ifndef GT_SUITE_SELECT_H
#define GT_SUITE_SELECT_H

#include "core/case.h"

struct gt_selection {
	struct gt_names names; // exact ids or names; several mean any of them
	const char *filter;    // regular expression, anchored at the start like Python's re.match
	const char *tests_file; // whitespace-separated names; '#' starts a comment
};

// Keep the selected cases, in order. GT_BAD_USAGE: the filter does not compile (position and reason
// in the sentence), or a name of `names` or of the file is no case (with the nearest name if one is
// near); GT_NOT_FOUND: nothing is left.
GT_MUST_USE gt_code gt_select(const struct gt_selection *selection, struct gt_cases *cases,
                              struct gt_err *err);

#endif // GT_SUITE_SELECT_H
