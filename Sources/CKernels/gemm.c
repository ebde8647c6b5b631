// The matrix product. Rows of the left operand are taken in blocks, columns of the right one in panels that
// stay in the first-level cache. The inner dimension is cut into equal parts of at most CK_GEMM_STEPS steps,
// one panel per part. If there are enough panels to repay the cost, blocks are packed, too, so that their
// loop takes fewer instructions; a left operand of several products is packed once for all. One or two blocks
// of rows read whole panels in place. Benchmarks/README.md, "Linear algebra beside OpenBLAS", says why this
// does not call a library.

#include "CKernels.h"
#include "dispatch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma clang fp contract(fast)
#pragma clang diagnostic ignored "-Wpsabi"

// An operand: its vectors are rows of the left one, columns of the right one. Step p of vector i is
// i * vector_stride + p * k_stride numbers after `at`; one of the strides is 1 if there are several of both.
// The format is CK_F32, or CK_BF16 for a kernel that rounds; doubles have none.
typedef struct {
  const void *at;
  int format;
  size_t vector_stride, k_stride;
} ck_operand;

// Elements of vectors: step p of vector i at at[i * vector_stride + p * step_stride].
typedef struct {
  const float *at;
  size_t vector_stride, step_stride;
} ck_pairs;

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
#include "wide.inc"
#define REAL float
#define CK(name) name##_avx512
#define VW 16
#define MR 12
#define WIDE(name) wide_##name##_f32
#include "gemm.inc"
// For at most 16 columns; half of a panel of two vectors would be empty.
#define REAL float
#define CK(name) name##_narrow
#define VW 16
#define NV 1
#define MR 12
#define WIDE(name) wide_##name##_f32
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
#define PER 2
#define WIDE(name) wide_##name##_pairs
#include "gemm.inc"
#pragma clang attribute pop
#endif

#include "tile_model.inc"
#define TILES(name) tiles_##name##_model
#define TILE_BEGIN ((void)0)
#define TILE_VARIABLES float tiles[8][CK_TILE_SIZE * CK_TILE_SIZE]
#define TILE_END ((void)0)
#define TILE_CLEAR(tile) __builtin_memset(tiles[tile], 0, sizeof tiles[tile])
#define TILE_LOAD(tile, from) __builtin_memcpy(tiles[tile], from, sizeof tiles[tile])
#define TILE_DOT(sum, left, right) model_tile_dot(tiles[sum], tiles[left], tiles[right])
#define TILE_STORE(tile, to) __builtin_memcpy(to, tiles[tile], sizeof tiles[tile])
#include "tiles.inc"

#if defined(__x86_64__)
#pragma clang attribute push(                                                                       \
    __attribute__((                                                                                \
        target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16"))),       \
    apply_to = function)
// Palette 1: eight tiles of 16 rows of 64 bytes.
static const struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_configuration __attribute__((aligned(64))) = {
    1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

#define TILES(name) tiles_##name##_amx
#define TILE_BEGIN _tile_loadconfig(&tile_configuration)
#define TILE_VARIABLES ((void)0)
#define TILE_END _tile_release()
#define TILE_CLEAR(tile) _tile_zero(tile)
#define TILE_LOAD(tile, from) _tile_loadd(tile, from, 64)
#define TILE_DOT(sum, left, right) _tile_dpbf16ps(sum, left, right)
#define TILE_STORE(tile, to) _tile_stored(tile, to, 64)
#include "tiles.inc"
#pragma clang attribute pop
#endif

// One panel, and packed blocks of at most 12 rows.
static size_t block_scratch(size_t m, size_t n, size_t k) {
  (void)n, (void)k;
  return CK_GEMM_PANEL + (m + 11) / 12 * 12 * CK_GEMM_STEPS;
}

static ck_operand left_of(const ck_product *p) {
  return (ck_operand){p->a, CK_F32, p->a_row_stride, p->a_k_stride};
}

static ck_operand right_of(const ck_product *p) {
  return (ck_operand){p->b, p->b_format, p->b_column_stride, p->b_k_stride};
}

// A product by a version of gemm.inc, and what else the table needs of it; `rows` is its MR, `per` its PER.
#define MULTIPLY_ONLY(version)                                                                      \
  static void multiply_##version(const ck_product *p, float *scratch) {                             \
    gemm_##version(                                                                                 \
        p->m, p->n, p->k, left_of(p), p->is_packed, right_of(p), p->scale, p->keep, p->c,           \
        p->c_stride, scratch);                                                                      \
  }
#define MULTIPLY(version, rows, per)                                                                \
  MULTIPLY_ONLY(version)                                                                            \
  static void pack_for_##version(size_t m, size_t k, ck_operand a, float *packed, float *scratch) {     \
    (void)scratch;                                                                                  \
    pack_left_##version(m, k, a, 0, (k + per - 1) / per, packed);                                   \
  }
MULTIPLY(baseline, 4, 1)

// Room for both operands as pairs, beside the tiles.
static size_t tiles_scratch(size_t m, size_t n, size_t k) {
  return tile_scratch(m) + (m + n) * ((k + 1) / 2);
}

typedef ck_pairs pairs_function(size_t count, size_t k, ck_operand from, float *memory);

// A product by tiles, and the packing of its left operand.
#define MULTIPLY_TILES(version, pairs)                                                              \
  static void multiply_tiles_##version(const ck_product *p, float *scratch) {                       \
    float *memory = scratch + tile_scratch(p->m);                                                   \
    const size_t steps = (p->k + 1) / 2;                                                            \
    const ck_pairs right = pairs(p->n, p->k, right_of(p), memory);                                  \
    ck_pairs left = {p->a, p->a_row_stride, 0};                                                     \
    if (!p->is_packed) left = pairs(p->m, p->k, left_of(p), memory + p->n * steps);                 \
    tiles_gemm_##version(                                                                           \
        p->m, p->n, steps, left, p->is_packed, right, p->scale, p->keep, p->c, p->c_stride, scratch); \
  }                                                                                                 \
  static void pack_for_tiles_##version(size_t m, size_t k, ck_operand a, float *packed, float *scratch) { \
    tiles_pack_left_##version(m, (k + 1) / 2, pairs(m, k, a, scratch), packed);                     \
  }
MULTIPLY_TILES(model, model_pairs)

static int prefer_baseline(ck_processor processor) {
  (void)processor;
  return 2;
}

// It defines what the tiles compute, and is slower than everything else.
static int prefer_model(ck_processor processor) {
  (void)processor;
  return 1;
}

#if defined(__x86_64__)
MULTIPLY(avx2, 6, 1)
MULTIPLY(avx512, 12, 1)
MULTIPLY_ONLY(narrow)
MULTIPLY(bf16, 12, 2)
MULTIPLY_TILES(amx, pairs_of)

static void multiply_widest(const ck_product *product, float *scratch) {
  if (product->n <= 16)
    multiply_narrow(product, scratch);
  else
    multiply_avx512(product, scratch);
}

static int prefer_avx2(ck_processor processor) {
  (void)processor;
  return 20;
}

static int prefer_avx512(ck_processor processor) {
  (void)processor;
  return 30;
}

// VDPBF16PS multiplies two pairs per lane. AMD's Zen 4 (family 25) and Zen 5 (26) start as many of them as
// VFMADD, which gives twice the products of f32. Intel's processors start half as many, so that rounding
// costs more than it gains: a calibration ran at 0.98 of PyTorch's speed, and at 1.24 with f32. Other
// processors were not measured.
static int prefer_avx512_bf16(ck_processor processor) {
  return processor.vendor == CK_AMD && processor.family >= 25 ? 40 : 10;
}

// A core's tiles multiply 16 times as many pairs in a cycle as VFMADD multiplies numbers.
static int prefer_amx(ck_processor processor) {
  (void)processor;
  return 50;
}
#endif

// The kernels of the product, in no particular order. Each entry states what it needs, how it packs left
// operands, and how fast it is on a processor.
static const struct {
  ck_product_backend entry;
  int (*preference)(ck_processor processor);
  size_t (*scratch)(size_t m, size_t n, size_t k);
  void (*multiply)(const ck_product *product, float *scratch);
  void (*pack)(size_t m, size_t k, ck_operand a, float *packed, float *scratch);
} backends[] = {
    {{"f32 baseline", CK_F32, 0, 4, 1}, prefer_baseline, block_scratch, multiply_baseline, pack_for_baseline},
    {{"bf16 tiles in plain C", CK_BF16, 0, 32, 32},
     prefer_model,
     tiles_scratch,
     multiply_tiles_model,
     pack_for_tiles_model},
#if defined(__x86_64__)
    {{"f32 AVX2", CK_F32, CK_HAS_AVX2, 6, 1}, prefer_avx2, block_scratch, multiply_avx2, pack_for_avx2},
    {{"f32 AVX-512", CK_F32, CK_HAS_AVX2 | CK_HAS_AVX512, 12, 1},
     prefer_avx512,
     block_scratch,
     multiply_widest,
     pack_for_avx512},
    {{"bf16 AVX512-BF16", CK_BF16, CK_HAS_AVX2 | CK_HAS_AVX512 | CK_HAS_AVX512_BF16, 12, 2},
     prefer_avx512_bf16,
     block_scratch,
     multiply_bf16,
     pack_for_bf16},
    {{"bf16 AMX", CK_BF16, CK_HAS_AVX2 | CK_HAS_AVX512 | CK_HAS_AVX512_BF16 | CK_HAS_AMX_BF16, 32, 32},
     prefer_amx,
     tiles_scratch,
     multiply_tiles_amx,
     pack_for_tiles_amx},
#endif
};

int ck_product_backend_count(void) { return sizeof backends / sizeof *backends; }

ck_product_backend ck_product_backend_at(int backend) { return backends[backend].entry; }

int ck_product_preference(int backend, ck_processor processor) {
  const unsigned needs = backends[backend].entry.needs;
  return (processor.features & needs) == needs ? backends[backend].preference(processor) : 0;
}

size_t ck_product_scratch(int backend, size_t m, size_t n, size_t k) {
  return backends[backend].scratch(m, n, k);
}

void ck_multiply(int backend, ck_product product, ck_floats_out scratch) {
  backends[backend].multiply(&product, scratch);
}

void ck_pack_left(
    int backend, size_t m, size_t k, ck_floats a, size_t a_row_stride, size_t a_k_stride, ck_floats_out packed,
    ck_floats_out scratch) {
  backends[backend].pack(m, k, (ck_operand){a, CK_F32, a_row_stride, a_k_stride}, packed, scratch);
}

size_t ck_gemm_f64_scratch(size_t m) { return block_scratch(m, 0, 0); }

void ck_gemm_f64(
    int set, size_t m, size_t n, size_t k, ck_doubles a, size_t a_row_stride, size_t a_k_stride, ck_doubles b,
    size_t b_k_stride, size_t b_column_stride, double scale, double keep, ck_doubles_out c, size_t c_stride,
    ck_doubles_out scratch) {
  const ck_operand left = {a, 0, a_row_stride, a_k_stride}, right = {b, 0, b_column_stride, b_k_stride};
  CALL(gemm_f64, m, n, k, left, 0, right, scale, keep, c, c_stride, scratch);
}
