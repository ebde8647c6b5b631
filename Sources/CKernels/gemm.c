// The matrix product: rows of the left operand in blocks, columns of the right one in panels that stay in the first
// cache. The inner dimension is cut into equal parts of at most CK_GEMM_STEPS steps, a panel each. Where there are
// panels enough to repay it, blocks are packed, too: their loop then takes fewer instructions.

#include "CKernels.h"
#include "dispatch.h"

#pragma clang fp contract(fast)
#pragma clang diagnostic ignored "-Wpsabi"

#define REAL float
#define CK(name) name##_baseline
#define VW 4
#define MR 4
#include "gemm.inc"
#define REAL double
#define CK(name) name##_f64_baseline
#define VW 2
#define MR 4
#include "gemm.inc"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define REAL float
#define CK(name) name##_avx2
#define VW 8
#define MR 6
#include "gemm.inc"
#define REAL double
#define CK(name) name##_f64_avx2
#define VW 4
#define MR 6
#include "gemm.inc"
#pragma clang attribute pop

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define REAL float
#define CK(name) name##_avx512
#define VW 16
#define MR 12
#include "gemm.inc"
#define REAL double
#define CK(name) name##_f64_avx512
#define VW 8
#define MR 12
#include "gemm.inc"
#pragma clang attribute pop
#endif

size_t ck_gemm_scratch(size_t m) { return CK_GEMM_PANEL + (m + 11) / 12 * 12 * CK_GEMM_STEPS; }

void ck_gemm(
    int set, size_t m, size_t n, size_t k, ck_floats a, size_t a_row_stride, size_t a_k_stride, ck_floats b,
    size_t b_k_stride, size_t b_column_stride, float scale, float keep, ck_floats_out c, size_t c_stride,
    ck_floats_out scratch) {
  CALL(gemm, m, n, k, a, a_row_stride, a_k_stride, b, b_k_stride, b_column_stride, scale, keep, c, c_stride, scratch);
}

void ck_gemm_f64(
    int set, size_t m, size_t n, size_t k, ck_doubles a, size_t a_row_stride, size_t a_k_stride, ck_doubles b,
    size_t b_k_stride, size_t b_column_stride, double scale, double keep, ck_doubles_out c, size_t c_stride,
    ck_doubles_out scratch) {
  CALL(
      gemm_f64, m, n, k, a, a_row_stride, a_k_stride, b, b_k_stride, b_column_stride, scale, keep, c, c_stride,
      scratch);
}
