#pragma once

#include <stdint.h>

// glibc declares these only for _GNU_SOURCE, which Swift's view of it lacks.
int renameat2(int old_folder, const char *old_path, int new_folder, const char *new_path, unsigned flags);
#define RILQ_RENAME_EXCHANGE 2u
int sync_file_range(int file, int64_t offset, int64_t count, unsigned flags);
#define RILQ_SYNC_FILE_RANGE_WRITE 2u
