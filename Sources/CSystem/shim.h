#pragma once

// glibc declares this only for _GNU_SOURCE, which Swift's view of it lacks.
int renameat2(int old_folder, const char *old_path, int new_folder, const char *new_path, unsigned flags);
#define RILQ_RENAME_EXCHANGE 2u
