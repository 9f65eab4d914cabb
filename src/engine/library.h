// engine/library.h - what every engine needs around dlopen. Private to engine/.
#ifndef GT_ENGINE_LIBRARY_H
#define GT_ENGINE_LIBRARY_H

#include "base/json.h"

// One function of a library and the place of the pointer to it.
struct gt_symbol {
	const char *name;
	void *slot; // a function pointer
};

// Open a library for good (it is never closed: its threads and handlers may outlive any use).
GT_MUST_USE gt_code gt_library_open(const char *path, void **library, struct gt_err *err);

// Fill all slots; the sentence names the library and the function that it lacks.
GT_MUST_USE gt_code gt_library_bind(void *library, const char *path,
                                    const struct gt_symbol *symbols, size_t count,
                                    struct gt_err *err);

// The linker's build-id of the loaded object that holds `address`, in hex; "" if it has none.
char *gt_library_build_id(const void *address);

// Threads of this process now; 0 if /proc does not say.
size_t gt_thread_count(void);

// {"name", "version", "build", "path"}; takes `build`.
json_t *gt_engine_identity(const char *name, const char *version, char *build, const char *path);

#endif // GT_ENGINE_LIBRARY_H
