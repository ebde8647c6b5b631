#pragma once

#include <mpi.h>
#include <unistd.h>
#include <sys/syscall.h>

// Communicators and types are macros in mpi.h, which Swift cannot import. Every function returns MPI_SUCCESS or
// an error code.

static inline int cmpi_init(int *rank, int *size, int *local_size) {
  int provided;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
  if (code != MPI_SUCCESS) return code;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, size);
  MPI_Comm node;
  code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  if (code != MPI_SUCCESS) return code;
  MPI_Comm_size(node, local_size);
  return MPI_Comm_free(&node);
}

static inline int cmpi_send(const void *bytes, int count, int rank) {
  return MPI_Send(bytes, count, MPI_BYTE, rank, 0, MPI_COMM_WORLD);
}

static inline int cmpi_receive(void *bytes, int count, int rank) {
  return MPI_Recv(bytes, count, MPI_BYTE, rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static inline int cmpi_broadcast(void *bytes, int count, int rank) {
  return MPI_Bcast(bytes, count, MPI_BYTE, rank, MPI_COMM_WORLD);
}

static inline int cmpi_finish(void) { return MPI_Finalize(); }

static inline void cmpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

// `text` has room for CMPI_TEXT_SIZE bytes, and ends with a zero.
#define CMPI_TEXT_SIZE 8192
static inline void cmpi_error_text(int code, char *text) {
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) text[0] = 0;
}

static inline void cmpi_library_version(char *text) {
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) text[0] = 0;
}

// The cores that the calling thread may run on, which mpirun limits; 0 when unknown.
static inline int cmpi_core_count(void) {
  unsigned long mask[128] = {0};
  long size = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  int count = 0;
  for (long i = 0; i < size / (long)sizeof mask[0]; i++) count += __builtin_popcountl(mask[i]);
  return count;
}
