// What libgauntlet_worker.so offers is worker/host.h, all of it in the layer's archive; a shared
// library needs a source of its own.
#include "worker/host.h"
