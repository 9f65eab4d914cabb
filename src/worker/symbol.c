#include "worker/symbol.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SECTIONS 4096
#define CHUNK 4096 // symbols read at once

static bool read_at(int fd, void *out, size_t size, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, out, size, (off_t)offset) == (ssize_t)size;
}

// The table of symbols, and the section of their names.
static bool find_table(int fd, ElfW(Shdr) *table, ElfW(Shdr) *names)
{
	ElfW(Ehdr) head;
	ElfW(Shdr) all[64];
	bool found = false;
	uint32_t link = 0;
	if (!read_at(fd, &head, sizeof head, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    head.e_shentsize != sizeof *all || head.e_shnum > MAX_SECTIONS)
		return false;
	for (uint32_t i = 0; i < head.e_shnum; i++) {
		if (i % 64 == 0) {
			size_t n = head.e_shnum - i < 64 ? head.e_shnum - i : 64;
			if (!read_at(fd, all, n * sizeof *all, head.e_shoff + (uint64_t)i * sizeof *all))
				return false;
		}
		const ElfW(Shdr) *s = &all[i % 64];
		bool full = s->sh_type == SHT_SYMTAB;
		if (s->sh_entsize != sizeof(ElfW(Sym)) || (!full && s->sh_type != SHT_DYNSYM))
			continue;
		if (found && !full)
			continue;
		found = true;
		*table = *s;
		link = s->sh_link;
		if (full)
			break;
	}
	return found && link < head.e_shnum &&
	       read_at(fd, names, sizeof *names, head.e_shoff + (uint64_t)link * sizeof *names);
}

// The best symbol of one offset: where its name stands in the section of names; 0: nowhere.
struct wanted {
	uint64_t offset, start, name;
	size_t index; // of the caller's
};

static int by_offset(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

// `wanted` is sorted.
static void match(const ElfW(Sym) *s, struct wanted *wanted, size_t count)
{
	if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_shndx == SHN_UNDEF || s->st_name == 0)
		return;
	size_t from = 0, to = count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (wanted[middle].offset < s->st_value)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < count && wanted[from].offset - s->st_value < s->st_size; from++) {
		if (wanted[from].name && wanted[from].start >= s->st_value)
			continue;
		wanted[from].start = s->st_value;
		wanted[from].name = s->st_name;
	}
}

static void scan(int fd, const ElfW(Shdr) *table, struct wanted *wanted, size_t count)
{
	ElfW(Sym) *chunk = malloc(CHUNK * sizeof *chunk);
	uint64_t total = table->sh_size / sizeof *chunk;
	for (uint64_t i = 0; chunk && i < total; i += CHUNK) {
		size_t n = total - i < CHUNK ? (size_t)(total - i) : CHUNK;
		if (!read_at(fd, chunk, n * sizeof *chunk, table->sh_offset + i * sizeof *chunk))
			break;
		for (size_t k = 0; k < n; k++)
			match(&chunk[k], wanted, count);
	}
	free(chunk);
}

static void name_all(int fd, struct gt_symbol *symbols, size_t count)
{
	ElfW(Shdr) table, names;
	struct wanted *wanted = calloc(count, sizeof *wanted);
	if (!wanted || !find_table(fd, &table, &names)) {
		free(wanted);
		return;
	}
	for (size_t i = 0; i < count; i++)
		wanted[i] = (struct wanted){.offset = symbols[i].offset, .index = i};
	qsort(wanted, count, sizeof *wanted, by_offset);
	scan(fd, &table, wanted, count);
	for (size_t i = 0; i < count; i++) {
		const struct wanted *w = &wanted[i];
		if (w->name == 0 || w->name >= names.sh_size)
			continue;
		symbols[w->index].start = w->start;
		// Names end with a NUL; behind the end of the file all stays zero.
		(void)!pread(fd, symbols[w->index].name, GT_SYMBOL_NAME - 1,
		             (off_t)(names.sh_offset + w->name));
	}
	free(wanted);
}

void gt_symbol_find(const char *path, struct gt_symbol *symbols, size_t count)
{
	struct stat st;
	for (size_t i = 0; i < count; i++)
		memset(symbols[i].name, 0, GT_SYMBOL_NAME);
	// The path comes from a process that crashed: it may name a pipe.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return;
	if (count && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		name_all(fd, symbols, count);
	close(fd);
}
