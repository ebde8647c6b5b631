#include <stddef.h>

// LAPACK's routines as OpenBLAS has them; libopenblas has no header for them. The last arguments are the lengths
// of the strings, which Fortran passes without being asked.
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
void dtrtri_(
    const char *uplo, const char *diag, const int *n, double *a, const int *lda, int *info, size_t, size_t);
void dsytrd_(
    const char *uplo, const int *n, double *a, const int *lda, double *d, double *e, double *tau, double *work,
    const int *lwork, int *info, size_t);
void dsterf_(const int *n, double *d, double *e, int *info);
void dstemr_(
    const char *jobz, const char *range, const int *n, double *d, double *e, const double *vl, const double *vu,
    const int *il, const int *iu, int *m, double *w, double *z, const int *ldz, const int *nzc, int *isuppz,
    int *tryrac, double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
void dormtr_(
    const char *side, const char *uplo, const char *trans, const int *m, const int *n, const double *a,
    const int *lda, const double *tau, double *c, const int *ldc, double *work, const int *lwork, int *info,
    size_t, size_t, size_t);
void openblas_set_num_threads(int count);
char *openblas_get_config(void);

// The same with values as arguments; each returns LAPACK's `info`: 0 after success, negative for a wrong argument.
// LAPACK is column-major: its upper triangle is the lower one of a row-major matrix.

/// Replaces the lower triangle of row-major `a`, [n, n], by its Cholesky factor; positive when it has none.
static inline int lapack_factor_lower(int n, double *a) {
  int info;
  dpotrf_("U", &n, a, &n, &info, 1);
  return info;
}

/// Replaces the lower triangle of row-major `a`, [n, n], by its inverse; positive when it is singular.
static inline int lapack_invert_lower(int n, double *a) {
  int info;
  dtrtri_("U", "N", &n, a, &n, &info, 1, 1);
  return info;
}

/// Reduces symmetric `a`, [n, n], to diagonal `d`, [n], and off-diagonal `e`, [n - 1]; `a` and `tau`, [n - 1], become the
/// reflections. `work` is [length], at best 32 * n.
static inline int lapack_tridiagonalize(
    int n, double *a, double *d, double *e, double *tau, double *work, int length) {
  int info;
  dsytrd_("L", &n, a, &n, d, e, tau, work, &length, &info, 1);
  return info;
}

/// Replaces `d`, [n], by the eigenvalues, smallest first; destroys `e`, [n - 1]. Positive when it finds not all of them.
static inline int lapack_tridiagonal_values(int n, double *d, double *e) {
  int info;
  dsterf_(&n, d, e, &info);
  return info;
}

/// Puts the eigenvectors of the `count` largest eigenvalues, smallest first, into `z`, [count, n], and the values into `w`, [n].
///
/// Destroys `d` and `e`, both [n]; `support` is [2 * count], `work` [18 * n], `iwork` [10 * n]. Positive when it fails.
static inline int lapack_tridiagonal_vectors(
    int n, double *d, double *e, int count, double *w, double *z, int *support, double *work, int *iwork) {
  const int first = n - count + 1, length = 18 * n, integer_length = 10 * n;
  const double unused = 0;
  int found, high_accuracy = 1, info;
  dstemr_("V", "I", &n, d, e, &unused, &unused, &first, &n, &found, w, z, &n, &count, support, &high_accuracy, work,
          &length, iwork, &integer_length, &info, 1, 1);
  return info == 0 && found != count ? 1 : info;
}

/// Turns eigenvectors `z`, [count, n], of the tridiagonal matrix into those of the matrix that was reduced.
/// `work` is [length], at best 64 * count + 64 * 65.
static inline int lapack_turn_back(
    int n, const double *a, const double *tau, int count, double *z, double *work, int length) {
  int info;
  dormtr_("L", "L", "N", &n, &count, a, &n, tau, z, &n, work, &length, &info, 1, 1, 1);
  return info;
}
