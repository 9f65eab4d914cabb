// cli/keyboard.h - single keys from the user's terminal, for as long as we are in its foreground.
//
// The terminal sends each key at once and does not show it; all else stays as it was, so Ctrl-C and
// Ctrl-Z do what they always do. The settings are put back before we stop or end; after kill -9 a
// shell puts them back itself, and `stty sane` does. There is one keyboard in a process.
#ifndef GT_CLI_KEYBOARD_H
#define GT_CLI_KEYBOARD_H

// Begin, if stdin and stdout are our terminal; else there will be no keys. In a pipeline there are
// none: they are for whoever pages our output.
void gt_keyboard_open(void);

// The next key that waits; 0: none. Never blocks, and is no reason to stop us in the background. To
// be called now and then: takes the terminal when we are in its foreground (again).
char gt_keyboard_take(void);

// Put the settings back; the next gt_keyboard_take() takes the terminal again.
void gt_keyboard_release(void);

void gt_keyboard_close(void);

#endif // GT_CLI_KEYBOARD_H
