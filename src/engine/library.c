#include "engine/library.h"

#include "base/file.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

gt_code gt_library_open(const char *path, void **library, struct gt_err *err)
{
	// RTLD_NOW: every symbol is bound once here, not again in each forked job.
	*library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (*library)
		return GT_OK;
	const char *why = dlerror();
	return gt_fail(err, GT_ENGINE, "cannot load '%s': %s", path, why ? why : "no reason given");
}

gt_code gt_library_bind(void *library, const char *path, const struct gt_symbol *symbols,
                        size_t count, struct gt_err *err)
{
	for (size_t i = 0; i < count; i++) {
		void *address = dlsym(library, symbols[i].name);
		if (!address)
			return gt_fail(err, GT_ENGINE,
			               "'%s' has no function %s; install the version that 'make' installs", path,
			               symbols[i].name);
		memcpy(symbols[i].slot, &address, sizeof address);
	}
	return GT_OK;
}

struct build_id_search {
	uintptr_t address;
	struct gt_buf hex;
};

static bool holds(const struct dl_phdr_info *object, uintptr_t address)
{
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + segment->p_vaddr;
		if (segment->p_type == PT_LOAD && address >= start && address - start < segment->p_memsz)
			return true;
	}
	return false;
}

static void read_notes(const char *notes, size_t left, struct gt_buf *hex)
{
	ElfW(Nhdr) note;
	while (left >= sizeof note) {
		memcpy(&note, notes, sizeof note);
		size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		size_t data = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		if (left - sizeof note < name || left - sizeof note - name < data)
			return;
		const char *text = notes + sizeof note;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(text, "GNU", 4) == 0)
			for (size_t i = 0; i < note.n_descsz; i++)
				gt_buf_printf(hex, "%02x", (unsigned char)text[name + i]);
		notes += sizeof note + name + data;
		left -= sizeof note + name + data;
	}
}

static int search_object(struct dl_phdr_info *object, size_t size, void *user)
{
	(void)size;
	struct build_id_search *search = user;
	if (!holds(object, search->address))
		return 0;
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		if (segment->p_type == PT_NOTE && search->hex.length == 0)
			read_notes((const char *)(object->dlpi_addr + segment->p_vaddr), segment->p_memsz,
			           &search->hex);
	}
	return 1;
}

char *gt_library_build_id(const void *address)
{
	struct build_id_search search = {.address = (uintptr_t)address};
	dl_iterate_phdr(search_object, &search);
	return gt_buf_take(&search.hex);
}

size_t gt_thread_count(void)
{
	struct gt_names tasks = {0};
	size_t count = gt_list_folder("/proc/self/task", &tasks, NULL) ? 0 : tasks.count;
	gt_names_free(&tasks);
	return count;
}

json_t *gt_engine_identity(const char *name, const char *version, char *build, const char *path)
{
	json_t *identity = json_object();
	gt_json_set(identity, "name", gt_json_text(name));
	gt_json_set(identity, "version", gt_json_text(version));
	gt_json_set(identity, "build", gt_json_text(build));
	gt_json_set(identity, "path", gt_json_text(path));
	free(build);
	return identity;
}
