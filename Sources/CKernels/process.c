// What of threads and memory Swift does not reach.

#include "CKernels.h"
#if defined(__linux__)
#include <malloc.h>
#endif

static _Thread_local int in_region;

int ck_is_in_region(void) { return in_region; }
void ck_set_in_region(int is_in_region) { in_region = is_in_region; }

void ck_keep_freed_memory(void) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}
