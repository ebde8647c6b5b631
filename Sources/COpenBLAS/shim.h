#include <cblas.h>

// Declared here because Debian ships LAPACK inside the library but no C header for it.
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
