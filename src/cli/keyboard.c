#include "cli/keyboard.h"

#include "base/status.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <termios.h>
#include <unistd.h>

// What ends us without a word. SIGINT, SIGTERM and SIGHUP are the runner's, which ends in order.
static const int deadly[] = {SIGQUIT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

static int terminal = -1;
static volatile sig_atomic_t taken; // the settings are ours
static struct termios before;
static struct sigaction previous[GT_COUNTOF(deadly)];

static bool in_foreground(void)
{
	return tcgetpgrp(terminal) == getpgrp();
}

// We may be sent to the background at any moment: reading then fails, instead of stopping us.
static void block_stops(sigset_t *old)
{
	sigset_t stops;
	sigemptyset(&stops);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	sigprocmask(SIG_BLOCK, &stops, old);
}

void gt_keyboard_release(void)
{
	sigset_t old;
	if (!taken)
		return;
	taken = 0;
	block_stops(&old);
	if (in_foreground())
		tcsetattr(terminal, TCSANOW, &before);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void on_deadly(int number)
{
	gt_keyboard_release();
	for (size_t i = 0; i < GT_COUNTOF(deadly); i++)
		if (deadly[i] == number)
			sigaction(number, &previous[i], NULL);
	raise(number);
}

void gt_keyboard_open(void)
{
	struct sigaction action = {.sa_handler = on_deadly};
	if (!isatty(0) || !isatty(1) || tcgetpgrp(0) < 0)
		return;
	// A description of its own: that it does not block is nobody else's business.
	terminal = open("/dev/tty", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	for (size_t i = 0; terminal >= 0 && i < GT_COUNTOF(deadly); i++)
		sigaction(deadly[i], &action, &previous[i]);
}

// Shells change the settings while we are stopped or in the background, so they are looked at each
// time. Without job control nobody but us changes them.
static void take_terminal(void)
{
	struct termios now;
	if (tcgetattr(terminal, &now) != 0 || !(now.c_lflag & (ICANON | ECHO)))
		return;
	before = now;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	now.c_cc[VMIN] = 1;
	now.c_cc[VTIME] = 0;
	taken = 1;
	tcsetattr(terminal, TCSANOW, &now);
}

char gt_keyboard_take(void)
{
	sigset_t old;
	char key = 0;
	if (terminal < 0)
		return 0;
	block_stops(&old);
	if (in_foreground()) {
		take_terminal();
		if (read(terminal, &key, 1) != 1)
			key = 0;
	} else {
		taken = 0; // whoever has it now has set it as they like
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return key;
}

void gt_keyboard_close(void)
{
	if (terminal < 0)
		return;
	gt_keyboard_release();
	for (size_t i = 0; i < GT_COUNTOF(deadly); i++)
		sigaction(deadly[i], &previous[i], NULL);
	close(terminal);
	terminal = -1;
}
