// The matrix product: rows of the left operand in blocks, columns of the right one in panels that stay in the first
// cache. The inner dimension is cut into equal parts of at most CK_GEMM_STEPS steps, a panel each. Where there are
// panels enough to repay it, blocks are packed, too: their loop then takes fewer instructions. A single block of rows reads
// whole panels where they lie.

#include "CKernels.h"
#include "dispatch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))),             \
    apply_to = function)
#include "pairs.inc"
#define REAL float
#define CK(name) name##_bf16
#define VW 16
#define MR 12
#define DOT(sum, value, b) \
  ((CK(gv))_mm512_dpbf16_ps((__m512)(sum), (__m512bh)_mm512_set1_ps(value), (__m512bh)(b)))
#include "gemm.inc"
#pragma clang attribute pop
#endif

size_t ck_gemm_scratch(size_t m) { return CK_GEMM_PANEL + (m + 11) / 12 * 12 * CK_GEMM_STEPS; }

// A panel of AVX-512 has 32 columns; where half of them or more were empty, AVX2 is as fast or faster, with the same sums.
static int narrowed(int set, size_t n) { return set == CK_AVX512 && n <= 16 ? CK_AVX2 : set; }

void ck_gemm(
    int set, size_t m, size_t n, size_t k, ck_floats a, size_t a_row_stride, size_t a_k_stride, ck_floats b,
    size_t b_k_stride, size_t b_column_stride, float scale, float keep, ck_floats_out c, size_t c_stride,
    ck_floats_out scratch) {
  set = narrowed(set, n);
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

int ck_has_bf16_products(void) {
#if defined(__x86_64__)
  return ck_best_instruction_set() == CK_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
  return 0;
#endif
}

size_t ck_gemm_bf16_scratch(size_t m, size_t n, size_t k) { return ck_gemm_scratch(m) + (m + n) * ((k + 1) / 2); }

void ck_gemm_bf16(
    size_t m, size_t n, size_t k, int format, ck_bytes a, size_t a_row_stride, size_t a_k_stride, ck_bytes b,
    size_t b_k_stride, size_t b_column_stride, float scale, float keep, ck_floats_out c, size_t c_stride,
    ck_floats_out scratch) {
#if defined(__x86_64__)
  const size_t steps = (k + 1) / 2;
  float *memory = scratch + ck_gemm_scratch(m);
  const ck_pairs left = pairs_of(m, k, format == CK_BF16, a, a_row_stride, a_k_stride, memory);
  const ck_pairs right = pairs_of(n, k, format == CK_BF16, b, b_column_stride, b_k_stride, memory + m * steps);
  gemm_bf16(
      m, n, steps, left.at, left.vector_stride, left.step_stride, right.at, right.step_stride, right.vector_stride,
      scale, keep, c, c_stride, scratch);
#endif
}
