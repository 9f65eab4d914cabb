#include "worker/pages.h"

#include "base/file.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGE ((uintptr_t)2 << 20)
#define MAPS_MAX ((size_t)8 << 20)

// What is larger is address space that an allocator or a sanitizer has reserved: terabytes to look at.
#define MAPPING_MAX ((uintptr_t)4 << 30)

// At least so much of a huge page must be there already: the rest is memory spent on nothing.
static bool is_mostly_there(uintptr_t at)
{
	unsigned char resident[HUGE_PAGE / 4096];
	size_t pages = HUGE_PAGE / (size_t)sysconf(_SC_PAGESIZE), there = 0;
	if (pages > sizeof resident || mincore((void *)at, HUGE_PAGE, resident) != 0)
		return false;
	for (size_t i = 0; i < pages; i++)
		there += resident[i] & 1;
	return there >= pages / 2;
}

// One line of /proc/self/maps. False if that is not memory that is ours alone, and of no file.
static bool parse(const char *line, uintptr_t *begin, uintptr_t *end)
{
	char access[5] = "", name[16] = "";
	unsigned long inode = 0;
	int n = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu %15[^\n]", begin, end, access,
	               &inode, name);
	return n >= 4 && strcmp(access, "rw-p") == 0 && inode == 0 && strcmp(name, "[stack]") != 0;
}

static size_t collapse(uintptr_t begin, uintptr_t end)
{
	size_t count = 0;
	if (end - begin > MAPPING_MAX)
		return 0;
	uintptr_t first = (begin + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	for (uintptr_t at = first; at + HUGE_PAGE <= end; at += HUGE_PAGE)
		if (is_mostly_there(at))
			count += madvise((void *)at, HUGE_PAGE, MADV_COLLAPSE) == 0;
	return count;
}

size_t gt_pages_collapse(void)
{
	struct gt_buf maps = {0};
	size_t count = 0;
	malloc_trim(0); // what loading has left free
	if (gt_stream_read("/proc/self/maps", MAPS_MAX, &maps, NULL))
		return 0;
	for (const char *line = gt_buf_text(&maps); *line;) {
		uintptr_t begin, end;
		if (parse(line, &begin, &end))
			count += collapse(begin, end);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	gt_buf_free(&maps);
	return count;
}
