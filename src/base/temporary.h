// base/temporary.h - folders for what does not outlive a command.
#ifndef GT_BASE_TEMPORARY_H
#define GT_BASE_TEMPORARY_H

#include "base/status.h"

// The folder that they are made in: $TMPDIR if it names a folder by a plain absolute path, else /tmp.
// Borrowed from the environment.
const char *gt_temporary_base(void);

struct gt_temporary {
	char *path; // NULL: none
	int lock;   // held as long as somebody needs the folder; -1 where nothing can be locked
};

// Make a new folder "gauntlet-<purpose>-XXXXXX". Those of this user and purpose whose owners were
// killed are removed first.
GT_MUST_USE gt_code gt_temporary_make(const char *purpose, struct gt_temporary *out,
                                      struct gt_err *err);

// Remove the folder with all that is in it; nothing to do if there is none.
void gt_temporary_remove(struct gt_temporary *folder);

#endif // GT_BASE_TEMPORARY_H
