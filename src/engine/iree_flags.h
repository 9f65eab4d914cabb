// engine/iree_flags.h - the flags of the command iree-compile that its library does not know.
// Private to engine/.
//
// Pure. The command handles a few flags itself; what they do is done here by calls of the API, or
// refused by name where it would leave no module to run.
#ifndef GT_ENGINE_IREE_FLAGS_H
#define GT_ENGINE_IREE_FLAGS_H

#include "base/file.h"

// Owns `library` and `dump`.
struct gt_iree_flags {
	struct gt_names library; // for the library's own parser
	char *compile_from;      // phase to start from; NULL: "input"
	char *dump_phases_to;    // folder, as given; NULL: none
	bool verify;             // verify the IR after each pass
};

// GT_BAD_USAGE for a flag of the command that cannot be honoured, or one without its value.
GT_MUST_USE gt_code gt_iree_flags_split(const struct gt_names *flags, struct gt_iree_flags *out,
                                        struct gt_err *err);
void gt_iree_flags_free(struct gt_iree_flags *flags);

#endif // GT_ENGINE_IREE_FLAGS_H
