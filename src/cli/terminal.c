#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_WIDTH 80

static bool is_set(const char *name)
{
	const char *value = getenv(name);
	return value && *value;
}

static int width_of(int fd)
{
	struct winsize size;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	const char *columns = getenv("COLUMNS");
	int width = columns ? atoi(columns) : 0;
	return width >= 20 && width <= 1000 ? width : DEFAULT_WIDTH;
}

struct gt_terminal gt_terminal_of(int fd, const char *color)
{
	const char *term = getenv("TERM");
	bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
	bool interactive = isatty(fd) && !dumb && !is_set("CI");
	bool colorful = isatty(fd) && !dumb && !is_set("NO_COLOR");
	if (is_set("FORCE_COLOR") || is_set("CLICOLOR_FORCE"))
		colorful = true;
	if (strcmp(color, "auto") != 0)
		colorful = strcmp(color, "always") == 0;
	return (struct gt_terminal){.interactive = interactive, .color = colorful,
	                            .width = width_of(fd)};
}
