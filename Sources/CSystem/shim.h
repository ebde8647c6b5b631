#pragma once

#include <stdint.h>

// System calls that differ between systems. Each returns -1 on failure, with the reason in errno. The header of a
// system would make its types members of this module, so the functions are declared here.

#if defined(__linux__)
int renameat2(int old_folder, const char *old_path, int new_folder, const char *new_path, unsigned flags);
int sync_file_range(int file, int64_t offset, int64_t count, unsigned flags);
#elif defined(__APPLE__)
int renamex_np(const char *from, const char *to, unsigned flags);
#else
#error "rilq needs Linux or Darwin: of no other system it knows how to swap two paths at once"
#endif

/// Swaps two paths at once; each is absolute or relative to the current folder.
static inline int rilq_exchange(const char *first, const char *second) {
  const unsigned exchange = 2;
#if defined(__linux__)
  const int current_folder = -100;
  return renameat2(current_folder, first, current_folder, second, exchange);
#else
  return renamex_np(first, second, exchange);
#endif
}

/// Starts writing a range of a file to disk, and returns at once. A hint, which Darwin does not take.
static inline int rilq_begin_writing(int file, int64_t offset, int64_t count) {
#if defined(__linux__)
  const unsigned write = 2;
  return sync_file_range(file, offset, count, write);
#else
  (void)file, (void)offset, (void)count;
  return 0;
#endif
}
