// What OpenBLAS takes for the linear algebra of this project, and how exact it is: the peer of main.swift,
// with the same matrices. Prints a line for each case: name, order, threads, seconds, seconds of all
// processors together, residual, and a hash of the result's bytes.

#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// LAPACK's own names; libopenblas-dev alone has no header for them.
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dtrtri_(const char *uplo, const char *diag, const int *n, double *a, const int *lda, int *info);
void dsyevd_(
    const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
    const int *lwork, int *iwork, const int *liwork, int *info);
void dsyevr_(
    const char *jobz, const char *range, const char *uplo, const int *n, double *a, const int *lda,
    const double *vl, const double *vu, const int *il, const int *iu, const double *abstol, int *m, double *w,
    double *z, const int *ldz, int *isuppz, double *work, const int *lwork, int *iwork, const int *liwork,
    int *info);

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// What a case took: of several runs the fastest.
typedef struct {
  double wall, cpu;
} timing;
static timing begin(void) { return (timing){now(), cpu()}; }
static timing since(timing start) { return (timing){now() - start.wall, cpu() - start.cpu}; }
static timing faster(timing a, timing b) { return (timing){fmin(a.wall, b.wall), fmin(a.cpu, b.cpu)}; }

static uint64_t state;
static double uniform(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)((int64_t)state >> 11) * 0x1p-52;
}

static double *random_matrix(size_t rows, size_t columns) {
  double *x = malloc(rows * columns * sizeof *x);
  state = 1;
  for (size_t i = 0; i < rows * columns; i++) x[i] = uniform();
  return x;
}

// x · xᵀ / n + I / 100, positive definite.
static double *moments(size_t n) {
  double *x = random_matrix(n, n), *h = malloc(n * n * sizeof *h);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1.0 / n, x, n, x, n, 0, h, n);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < i; j++) h[i * n + j] = h[j * n + i];
    h[i * n + i] += 0.01;
  }
  free(x);
  return h;
}

static uint64_t hash(const void *bytes, size_t count) {
  const unsigned char *p = bytes;
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < count; i++) h = (h ^ p[i]) * 1099511628211u;
  return h;
}

static void report(const char *name, size_t n, int threads, timing t, double residual, uint64_t bits) {
  printf("%-26s %6zu %3d %10.4f %10.4f %9.1e %016llx\n", name, n, threads, t.wall, t.cpu, residual,
         (unsigned long long)bits);
  fflush(stdout);
}

static double largest(const double *x, size_t count) {
  double value = 0;
  for (size_t i = 0; i < count; i++) value = fmax(value, fabs(x[i]));
  return value;
}

// The largest element of a - b, relative to that of b.
static double difference(const double *a, const double *b, size_t count) {
  double value = 0;
  for (size_t i = 0; i < count; i++) value = fmax(value, fabs(a[i] - b[i]));
  return value / largest(b, count);
}

static double *copy(const double *x, size_t count) {
  double *y = malloc(count * sizeof *y);
  memcpy(y, x, count * sizeof *y);
  return y;
}

static void products(size_t n, int threads) {
  const size_t k = 512;
  double *a = random_matrix(n, k);
  double *c = malloc(n * n * sizeof *c);
  float *x = malloc(n * k * sizeof *x), *y = malloc(n * n * sizeof *y);
  for (size_t i = 0; i < n * k; i++) x[i] = (float)a[i];
  timing best = {1e9, 1e9}, best_f32 = best;
  for (int run = 0; run < 3; run++) {
    timing start = begin();
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, k, 1, a, k, a, k, 0, c, n);
    best = faster(best, since(start));
    start = begin();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, k, 1, x, k, x, k, 0, y, n);
    best_f32 = faster(best_f32, since(start));
  }
  double error = 0;
  for (size_t i = 0; i < n * n; i++) error = fmax(error, fabs(y[i] - c[i]));
  report("product f64", n, threads, best, 0, hash(c, n * n * sizeof *c));
  report("product f32", n, threads, best_f32, error / largest(c, n * n), hash(y, n * n * sizeof *y));
  free(a), free(c), free(x), free(y);
}

static void factors(size_t n, int threads) {
  double *h = moments(n);
  double *l = copy(h, n * n);
  timing start = begin();
  const int order = (int)n;
  int failed;
  dpotrf_("U", &order, l, &order, &failed);
  timing seconds = since(start);
  // Column-major upper is row-major lower.
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++) l[i * n + j] = 0;
  double *product = malloc(n * n * sizeof *product);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1, l, n, l, n, 0, product, n);
  report(failed ? "Cholesky FAILED" : "Cholesky", n, threads, seconds, difference(product, h, n * n),
         hash(l, n * n * sizeof *l));
  double *inverse = copy(l, n * n);
  start = begin();
  dtrtri_("U", "N", &order, inverse, &order, &failed);
  seconds = since(start);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, l, n, inverse, n, 0, product, n);
  for (size_t i = 0; i < n; i++) product[i * n + i] -= 1;
  report(failed ? "triangular inverse FAILED" : "triangular inverse", n, threads, seconds,
         largest(product, n * n), hash(inverse, n * n * sizeof *inverse));
  free(h), free(l), free(product), free(inverse);
}

// The vectors of the `count` largest eigenvalues: with `divide` by dsyevd, which finds all; otherwise by
// dsyevr.
static void eigen(size_t n, size_t count, int divide, int threads) {
  double *h = moments(n), *a = copy(h, n * n), *values = malloc(n * sizeof *values), *vectors = a;
  const int order = (int)n, first = (int)(n - count + 1), ask = -1;
  int found = order, failed, wanted_i, *support = malloc(2 * n * sizeof *support);
  const double zero = 0;
  double wanted;
  if (!divide) vectors = malloc(n * count * sizeof *vectors);
  timing start = begin();
#define EIGEN(work, length, iwork, ilength)                                                                     \
  if (divide)                                                                                                   \
    dsyevd_("V", "L", &order, a, &order, values, work, length, iwork, ilength, &failed);                        \
  else                                                                                                          \
    dsyevr_("V", "I", "L", &order, a, &order, &zero, &zero, &first, &order, &zero, &found, values, vectors,      \
            &order, support, work, length, iwork, ilength, &failed);
  EIGEN(&wanted, &ask, &wanted_i, &ask)
  const int length = (int)wanted, ilength = wanted_i;
  double *work = malloc((size_t)length * sizeof *work);
  int *iwork = malloc((size_t)ilength * sizeof *iwork);
  EIGEN(work, &length, iwork, &ilength)
  timing seconds = since(start);
  if (divide) found = (int)count, vectors = a + (n - count) * n;
  const double *leading = divide ? values + n - count : values;
  double *images = malloc(n * count * sizeof *images), *product = malloc(count * count * sizeof *product);
  cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, count, n, 1, h, n, vectors, n, 0, images, n);
  double residual = 0;
  for (size_t j = 0; j < count; j++)
    for (size_t i = 0; i < n; i++)
      residual = fmax(residual, fabs(images[j * n + i] - leading[j] * vectors[j * n + i]));
  cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, count, count, n, 1, vectors, n, vectors, n, 0, product, count);
  for (size_t i = 0; i < count; i++) product[i * count + i] -= 1;
  residual = fmax(residual / leading[count - 1], largest(product, count * count));
  char name[40];
  snprintf(name, sizeof name, "%s, %zu vectors", divide ? "dsyevd" : "dsyevr", count);
  report(failed || found != (int)count ? "eigen FAILED" : name, n, threads, seconds, residual,
         hash(vectors, n * count * sizeof *vectors));
  if (!divide) free(vectors);
  free(h), free(a), free(values), free(images), free(product), free(support), free(work), free(iwork);
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "usage: %s THREADS ORDER...\n", argv[0]), 64;
  const int threads = atoi(argv[1]);
  openblas_set_num_threads(threads);
  printf("# OpenBLAS %s, kernel %s, %d threads\n", openblas_get_config(), openblas_get_corename(), threads);
  for (int i = 2; i < argc; i++) {
    const size_t n = (size_t)atol(argv[i]);
    products(n, threads);
    factors(n, threads);
    eigen(n, 64, 0, threads);
    if (n <= 4096) eigen(n, 64, 1, threads);
  }
}
