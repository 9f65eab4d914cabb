#include "base/quote.h"

#include "base/utf8.h"

#include <string.h>

// Characters that no shell takes for anything but themselves, wherever they stand.
#define BARE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./+=:,@-"

static bool is_visible(const char *text)
{
	struct gt_buf line = {0};
	gt_utf8_line(&line, text);
	bool same = strcmp(gt_buf_text(&line), text) == 0;
	gt_buf_free(&line);
	return same;
}

static void put_quoted(struct gt_buf *out, const char *text)
{
	gt_buf_puts(out, "'");
	for (; *text; text++)
		gt_buf_printf(out, *text == '\'' ? "'\\''" : "%c", *text);
	gt_buf_puts(out, "'");
}

// printf(1) is given a format of its own: '%' and '\' are its, and so all that is not ASCII is written
// as its bytes.
static void put_printed(struct gt_buf *out, const char *text)
{
	gt_buf_puts(out, "\"$(printf '");
	for (bool first = true; *text; text++, first = false) {
		unsigned char c = (unsigned char)*text;
		bool flag = first && c == '-'; // printf would take the word for one
		if (flag || c < ' ' || c >= 0x7F || c == '\\' || c == '\'')
			gt_buf_printf(out, "\\%03o", (unsigned)c);
		else
			gt_buf_printf(out, c == '%' ? "%%%%" : "%c", c);
	}
	gt_buf_puts(out, "')\"");
}

void gt_quote_word(struct gt_buf *out, const char *text)
{
	if (*text && text[strspn(text, BARE)] == '\0')
		gt_buf_puts(out, text);
	else if (is_visible(text))
		put_quoted(out, text);
	else
		put_printed(out, text);
}
