// Products of packed rows with vectors that are rounded to int8. The Swift functions in Kernels say what each
// one computes.

#include "CKernels.h"
#include "vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma clang fp contract(fast)
#pragma clang diagnostic ignored "-Wpsabi"

#define INT8_LEVEL 0
#define INT8(name) name##_plain
#include "int8.inc"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define INT8_LEVEL 1
#define INT8(name) name##_avx2
#include "int8.inc"
#pragma clang attribute pop

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define INT8_LEVEL 2
#define INT8(name) name##_avx512
#include "int8.inc"
#pragma clang attribute pop

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))),             \
    apply_to = function)
#define INT8_LEVEL 3
#define INT8(name) name##_vnni
#include "int8.inc"
#pragma clang attribute pop
#endif

// In order of speed, the slowest first.
static const struct {
  const char *name;
  unsigned needs;
  void (*multiply)(
      ck_layout layout, const void *codes, const ck_int8_tables *tables, const ck_int8_vector *x, float *y);
} backends[] = {
    {"int8 baseline", 0, multiply_rows_plain},
#if defined(__x86_64__)
    {"int8 AVX2", CK_HAS_AVX2, multiply_rows_avx2},
    {"int8 AVX-512", CK_HAS_AVX2 | CK_HAS_AVX512, multiply_rows_avx512},
    {"int8 VNNI", CK_HAS_AVX2 | CK_HAS_AVX512 | CK_HAS_AVX512_VNNI, multiply_rows_vnni},
#endif
};

int ck_int8_backend_count(void) { return sizeof backends / sizeof *backends; }
const char *ck_int8_backend_name(int backend) { return backends[backend].name; }
unsigned ck_int8_backend_needs(int backend) { return backends[backend].needs; }

void ck_multiply_int8_rows(
    int backend, ck_layout layout, ck_bytes codes, ck_int8_tables tables, ck_int8_vector x, ck_floats_out y) {
  backends[backend].multiply(layout, codes, &tables, &x, y);
}

void ck_round_to_int8(
    int bits, size_t group_size, size_t group_count, ck_floats x, ck_bytes_out values, ck_floats_out scales) {
  const size_t block = group_size == 16 || group_size % 64 == 0 ? 64 : 32;
  const size_t parts = 8 / (size_t)bits, width = block / parts;
  // The columns that a group has in a block.
  const size_t share = group_size < block ? group_size : block;
  for (size_t group = 0; group < group_count; group++, x += group_size) {
    // 0 for finite values, otherwise NaN, which is in every product then.
    float largest = 0, poison = 0;
    for (size_t j = 0; j < group_size; j++) {
      const float size = __builtin_fabsf(x[j]);
      largest = size > largest ? size : largest;
      poison += x[j] * 0;
    }
    scales[group] = largest / 127 + poison;
    const float factor = largest > 0 && poison == 0 ? 127 / largest : 0;
    for (size_t start = 0; start < group_size; start += share) {
      const size_t column = group * group_size + start;
      int8_t *target = (int8_t *)values + column / block * block + column % block / parts;
      for (size_t part = 0; part < parts; part++)
        for (size_t k = 0; k < share / parts; k++) {
          const float value = x[start + k * parts + part], product = poison == 0 ? value * factor : 0;
          // The sum rounds to the nearest whole number, and at a tie to the even one.
          target[part * width + k] = (int8_t)(product + 0x1.8p23f - 0x1.8p23f);
        }
    }
  }
}
