// worker/symbol.h - names of functions in an ELF file, by its own table of symbols.
//
// The full table where the file has one, else that of what it exports. Not by dladdr(), which knows
// only the latter; the compiler's library has six hundred thousand names in the former.
#ifndef GT_WORKER_SYMBOL_H
#define GT_WORKER_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

#define GT_SYMBOL_NAME 400 // bytes, with the NUL; longer names are cut

struct gt_symbol {
	uint64_t offset;           // asked for: an address as the file counts them
	uint64_t start;            // of the function that it lies in
	char name[GT_SYMBOL_NAME]; // of that; "" if there is none
};

// Find what `count` offsets lie in. Whatever `path` is, and whatever is in it: at worst there are no
// names.
void gt_symbol_find(const char *path, struct gt_symbol *symbols, size_t count);

#endif // GT_WORKER_SYMBOL_H
