// worker/pages.h - makes the forks of a big process cheaper: its private memory in huge pages.
//
// What a fork pays for is the number of pages in a process's tables, one by one; a huge page is one
// entry for 512. Memory that a child writes to is copied by small pages as before, once the huge one is
// split for it: worth it for what is mostly read, an interpreter and its modules.
#ifndef GT_WORKER_PAGES_H
#define GT_WORKER_PAGES_H

#include "worker/host.h"

#include <stddef.h>

// Collapse the calling process's own memory into huge pages where most of one is in use already. Call
// it once all is loaded. Returns how many there were; 0 where the system does not know
// MADV_COLLAPSE (Linux 6.1), and all is as it was.
GT_EXPORT size_t gt_pages_collapse(void);

#endif // GT_WORKER_PAGES_H
