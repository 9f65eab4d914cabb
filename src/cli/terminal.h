// cli/terminal.h - what the user's terminal can show.
#ifndef GT_CLI_TERMINAL_H
#define GT_CLI_TERMINAL_H

#include <stdbool.h>

struct gt_terminal {
	bool interactive; // the cursor may be moved: a terminal, not dumb, and not in CI
	bool color;
	int width;        // columns: the terminal's, else COLUMNS, else 80
};

// `color` is the value of --color: "auto", "always" or "never". Honours NO_COLOR, FORCE_COLOR,
// CLICOLOR_FORCE, TERM=dumb and CI.
struct gt_terminal gt_terminal_of(int fd, const char *color);

#endif // GT_CLI_TERMINAL_H
