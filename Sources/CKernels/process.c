// Threads and memory, as far as Swift does not reach them or systems differ.

#include "CKernels.h"
#include <limits.h>
#include <sys/resource.h>
#if defined(__linux__)
#include <malloc.h>
#endif

static _Thread_local int in_region;

int ck_is_in_region(void) { return in_region; }
void ck_set_in_region(int is_in_region) { in_region = is_in_region; }

void ck_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

size_t ck_peak_memory(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#if defined(__APPLE__)
  return (size_t)usage.ru_maxrss;
#else
  return (size_t)usage.ru_maxrss * 1024;
#endif
}

void ck_keep_freed_memory(void) {
#if defined(__GLIBC__)
  // Mapped allocations and the heaps of further arenas are unmapped when they are freed. Without both, all
  // memory comes from the one heap that grows and stays. M_MMAP_THRESHOLD takes no value above 32 MiB.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}
