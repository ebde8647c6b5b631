// Runs the kernels of the baseline on made numbers and prints what they compute, so that two processors can be
// compared. Each line is one result:
//
//   NAME equal|fused|within BOUND: VALUE...
//
// Values are the bits of floats or doubles, or whole numbers, in hexadecimal. `equal` results have the same bits
// everywhere. `fused` results have the bits of every processor that fuses products and sums: on x86-64 they come
// from AVX2, and without it there are none. `within` results differ by BOUND at most, since products and sums may
// be fused or a function of the C library may round otherwise. compare.py reads the lines.

#include "CKernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Half the distance from 1 to the next float, and to the next double.
static const double float_rounding = 0x1p-24, double_rounding = 0x1p-53;

// Made numbers

static uint64_t state;

static uint64_t next(void) {
  // SplitMix64.
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static void *room(size_t count, size_t size) {
  // Rounded up to whole cache lines, which blocks of equations are aligned to.
  void *memory = aligned_alloc(64, (count * size + 127) / 64 * 64);
  if (!memory) abort();
  memset(memory, 0, count * size);
  return memory;
}

static float *zeros(size_t count) { return room(count, sizeof(float)); }

// Numbers between -1 and 1, or between 0 and 1, exact in 20 bits.
static float *numbers(size_t count) {
  float *x = zeros(count);
  for (size_t i = 0; i < count; i++) x[i] = (float)((int64_t)(next() >> 43) - (1 << 20)) * 0x1p-20f;
  return x;
}

static float *positive(size_t count) {
  float *x = numbers(count);
  for (size_t i = 0; i < count; i++) x[i] = fabsf(x[i]) + 0x1p-10f;
  return x;
}

static float *copied(const float *x, size_t count) {
  return memcpy(zeros(count), x, count * sizeof(float));
}

static uint8_t *bytes(size_t count) {
  uint8_t *x = room(count, 1);
  for (size_t i = 0; i < count; i++) x[i] = (uint8_t)next();
  return x;
}

// Results

static void begin(const char *name, const char *kind) { printf("%s %s:", name, kind); }
static void begin_within(const char *name, double bound) { printf("%s within %.17g:", name, bound); }
static void end(void) { putchar('\n'); }

static void print_bytes(const void *x, size_t count) {
  for (size_t i = 0; i < count; i++) printf(" %02x", ((const uint8_t *)x)[i]);
}
static void print_halves(const void *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t bits;
    memcpy(&bits, (const char *)x + 2 * i, sizeof bits);
    printf(" %04x", bits);
  }
}
static void print_floats(const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    printf(" %08x", bits);
  }
}
static void print_doubles(const double *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint64_t bits;
    memcpy(&bits, x + i, sizeof bits);
    printf(" %016llx", (unsigned long long)bits);
  }
}

static void show_bytes(const char *name, const void *x, size_t count) {
  begin(name, "equal");
  print_bytes(x, count);
  end();
}
static void show_floats(const char *name, const float *x, size_t count) {
  begin(name, "equal");
  print_floats(x, count);
  end();
}
static void show_doubles(const char *name, const double *x, size_t count) {
  begin(name, "equal");
  print_doubles(x, count);
  end();
}
static void show_within(const char *name, double bound, const float *x, size_t count) {
  begin_within(name, bound);
  print_floats(x, count);
  end();
}

static const char *named(const char *format, size_t a, size_t b, size_t c) {
  static char name[100];
  snprintf(name, sizeof name, format, a, b, c);
  return name;
}

// Ends the program unless a result lies within a bound of the one that plain loops give on this processor.
static void require(const char *name, double value, double expected, double bound) {
  if (fabs(value - expected) <= bound) return;
  fprintf(stderr, "kernels: %s: %.9g, not %.9g within %.3g\n", name, value, expected, bound);
  exit(1);
}

// Kernels

static void half_floats(void) {
  enum { halves = 1 << 16, floats = 20000 };
  uint16_t *all = room(halves, 2);
  for (size_t i = 0; i < halves; i++) all[i] = (uint16_t)i;
  float *wide = zeros(halves);
  ck_widen_f16(CK_BASELINE, all, halves, wide);
  show_floats("widen_f16", wide, halves);
  ck_widen_bf16(CK_BASELINE, all, halves, wide);
  show_floats("widen_bf16", wide, halves);

  // Any bits: NaNs, infinities and numbers below the normal ones are among them.
  uint32_t *bits = room(floats, 4);
  for (size_t i = 0; i < floats; i++) bits[i] = (uint32_t)next();
  float *values = zeros(floats);
  memcpy(values, bits, floats * sizeof *bits);
  void *narrow = room(floats, 2);
  ck_narrow_f16(CK_BASELINE, values, floats, narrow);
  begin("narrow_f16 of any bits", "equal");
  print_halves(narrow, floats);
  end();
  ck_narrow_bf16(CK_BASELINE, values, floats, narrow);
  begin("narrow_bf16 of any bits", "equal");
  print_halves(narrow, floats);
  end();
  float *plain = numbers(floats);
  for (size_t i = 0; i < floats; i++) plain[i] *= ldexpf(1, (int)(i % 48) - 30);
  ck_narrow_f16(CK_BASELINE, plain, floats, narrow);
  begin("narrow_f16", "equal");
  print_halves(narrow, floats);
  end();
}

static void codes(void) {
  const int widths[] = {2, 3, 4, 5, 6, 8};
  for (size_t i = 0; i < 6; i++) {
    const size_t bits = (size_t)widths[i], count = 8 * 37;
    uint8_t *plain = bytes(count), *packed = room(count, 1), *back = room(count, 1);
    for (size_t j = 0; j < count; j++) plain[j] &= (uint8_t)((1 << bits) - 1);
    ck_pack_codes(CK_BASELINE, plain, count, (int)bits, packed);
    ck_unpack_codes(CK_BASELINE, packed, count, (int)bits, back);
    show_bytes(named("pack_codes %zu bits", bits, 0, 0), packed, count / 8 * bits);
    for (size_t j = 0; j < count; j++) require("unpack_codes", back[j], plain[j], 0);
  }
}

// Everything that reads or makes packed rows, of some bits and group size.
static void packed_rows(int bits, size_t size) {
  const size_t groups = 3, rows = 5, columns = groups * size, tables = rows * groups, count = rows * columns;
  const size_t width = (size_t)bits;
  const ck_layout layout = {bits, size, groups, rows};
  float *weights = numbers(count), *x = numbers(columns), *sums = zeros(groups), *y = zeros(rows);
  float *scales = zeros(tables), *biases = zeros(tables), *values = zeros(count);
  uint8_t *codes = room(count, 1);
  if (ck_round_to_nearest(CK_BASELINE, layout, weights, codes, scales, biases) != -1) abort();
  show_bytes(named("round_to_nearest %zu bits, groups of %zu", width, size, 0), codes, count / 8 * width);
  show_floats(named("round_to_nearest scales %zu bits, groups of %zu", width, size, 0), scales, tables);
  show_floats(named("round_to_nearest biases %zu bits, groups of %zu", width, size, 0), biases, tables);
  ck_dequantize(CK_BASELINE, layout, codes, scales, biases, 0, groups, values);
  show_floats(named("dequantize %zu bits, groups of %zu", width, size, 0), values, count);
  const ck_squares squares = ck_packed_squares(CK_BASELINE, layout, weights, codes, scales, biases);
  show_doubles(
      named("packed_squares %zu bits, groups of %zu", width, size, 0),
      (double[]){squares.error, squares.norm}, 2);

  float *importance = positive(columns), *grid_scales = zeros(tables), *grid_biases = zeros(tables);
  const ck_clipping clipping = {4, (const float[]){1, 0.9f, 0.75f, 0.5f}};
  ck_search_clipping(CK_BASELINE, layout, weights, importance, clipping, grid_scales, grid_biases);
  show_floats(named("search_clipping scales %zu bits, groups of %zu", width, size, 0), grid_scales, tables);
  show_floats(named("search_clipping biases %zu bits, groups of %zu", width, size, 0), grid_biases, tables);
  uint8_t *plain = room(count, 1);
  ck_round_to_grid(CK_BASELINE, layout, weights, grid_scales, grid_biases, plain);
  show_bytes(named("round_to_grid %zu bits, groups of %zu", width, size, 0), plain, count);
  float *scale_gradient = zeros(tables), *bias_gradient = zeros(tables);
  ck_reduce_by_codes(CK_BASELINE, layout, weights, codes, scale_gradient, bias_gradient);
  show_floats(named("reduce_by_codes scales %zu bits, groups of %zu", width, size, 0), scale_gradient, tables);
  show_floats(named("reduce_by_codes biases %zu bits, groups of %zu", width, size, 0), bias_gradient, tables);

  ck_pool_groups(CK_BASELINE, x, groups, size, sums);
  show_floats(named("pool_groups %zu bits, groups of %zu", width, size, 0), sums, groups);
  ck_multiply_packed_rows(CK_BASELINE, layout, codes, scales, biases, x, sums, y);
  // A sum of n products in any order, fused or not, errs by at most about n roundings of the sum of their
  // magnitudes. Products with codes and with biases are up to 2^bits times as large as the weights they make.
  double largest = 0;
  for (size_t row = 0; row < rows; row++) {
    double exact = 0, size_of_products = 0;
    for (size_t j = 0; j < columns; j++) {
      const size_t table = row * groups + j / size;
      exact += (double)x[j] * values[row * columns + j];
      size_of_products += fabs((double)x[j]) * (2 * fabs((double)biases[table]) + fabs((double)values[row * columns + j]));
    }
    largest = fmax(largest, size_of_products);
    require("multiply_packed_rows", y[row], exact, (double)(columns + 4) * float_rounding * size_of_products);
  }
  show_within(
      named("multiply_packed_rows %zu bits, groups of %zu", width, size, 0),
      2 * (double)(columns + 4) * float_rounding * largest, y, rows);
}

// Products with a vector of int8. Sums of codes are exact; the sums over groups may be fused.
static void int8_rows(int bits, size_t size) {
  const size_t groups = 8, rows = 3, columns = groups * size, width = (size_t)bits;
  const ck_layout layout = {bits, size, groups, rows};
  float *x = numbers(columns), *sums = zeros(groups), *y = zeros(rows), *x_scales = zeros(groups);
  float *scales = numbers(rows * groups), *biases = numbers(rows * groups);
  uint8_t *packed = bytes(rows * columns / 8 * width);
  int8_t *values = room(columns, 1);
  ck_pool_groups(CK_BASELINE, x, groups, size, sums);
  ck_round_to_int8(bits, size, groups, x, values, x_scales);
  show_bytes(named("round_to_int8 %zu bits, groups of %zu", width, size, 0), values, columns);
  show_floats(named("round_to_int8 scales %zu bits, groups of %zu", width, size, 0), x_scales, groups);
  ck_multiply_int8_rows(0, layout, packed, scales, biases, (ck_int8_vector){values, x_scales, sums}, y);
  double largest = 0;
  for (size_t row = 0; row < rows; row++)
    for (size_t group = 0; group < groups; group++) {
      const double top = (1 << bits) - 1;
      largest += fabs((double)scales[row * groups + group] * x_scales[group]) * 127 * top * (double)size +
                 fabs((double)biases[row * groups + group] * sums[group]);
    }
  show_within(
      named("multiply_int8_rows %zu bits, groups of %zu", width, size, 0),
      2 * (double)(2 * groups + 4) * float_rounding * largest, y, rows);
}

// The logarithm of the C library may differ in its last bit, and every later rounding follows it.
static void show_logarithms(const char *name, const double *x, size_t count) {
  begin_within(name, 32 * 16 * double_rounding);
  print_doubles(x, count);
  end();
}

static void rows_of_logits(size_t count) {
  float *x = numbers(count), *other = numbers(count), *y = zeros(count);
  for (size_t i = 0; i < count; i++) {
    x[i] *= 12;
    other[i] = x[i] + other[i];
  }
  ck_exp(CK_BASELINE, x, count, y);
  show_floats(named("exp %zu", count, 0, 0), y, count);
  for (size_t i = 0; i < count; i++) require("exp", y[i], exp(x[i]), 3e-7 * exp(x[i]));
  double sums[6] = {ck_log_sum_exp(CK_BASELINE, x, count)};
  show_logarithms(named("log_sum_exp %zu", count, 0, 0), sums, 1);

  float *probabilities = copied(x, count), *gradient = copied(other, count);
  sums[0] = ck_softmax(CK_BASELINE, probabilities, count, count - 1, 0.5f, -INFINITY);
  show_floats(named("softmax %zu", count, 0, 0), probabilities, count);
  show_logarithms(named("softmax sum %zu", count, 0, 0), sums, 1);
  ck_softmax_backward(CK_BASELINE, probabilities, gradient, count, 0.5f);
  show_floats(named("softmax_backward %zu", count, 0, 0), gradient, count);
  float *sunk = copied(x, count);
  sums[0] = ck_softmax(CK_BASELINE, sunk, count, count, 1, 2);
  show_within(named("softmax with a sink %zu", count, 0, 0), 4 * float_rounding, sunk, count);

  float *capped = copied(x, count), *cap_gradient = copied(other, count);
  ck_cap_scores(CK_BASELINE, capped, count, 0.5f, 3);
  show_floats(named("cap_scores %zu", count, 0, 0), capped, count);
  ck_cap_scores_backward(CK_BASELINE, capped, count, 3, cap_gradient);
  show_floats(named("cap_scores_backward %zu", count, 0, 0), cap_gradient, count);

  float *logits = copied(x, count);
  sums[0] = ck_cross_entropy(CK_BASELINE, logits, count, count / 2, 0.25f);
  show_logarithms(named("cross_entropy %zu", count, 0, 0), sums, 1);
  show_floats(named("cross_entropy gradient %zu", count, 0, 0), logits, count);
  begin(named("arg_max %zu", count, 0, 0), "equal");
  printf(" %zx", ck_arg_max(CK_BASELINE, x, count));
  end();

  const ck_divergence divergence = ck_kl_divergence(CK_BASELINE, x, other, count);
  sums[0] = divergence.kl;
  sums[1] = divergence.reference_log_sum_exp;
  sums[2] = divergence.candidate_log_sum_exp;
  show_logarithms(named("kl_divergence %zu", count, 0, 0), sums, 3);
  show_floats(named("kl_divergence difference %zu", count, 0, 0), &divergence.max_absolute_difference, 1);
  float *student = copied(x, count);
  const ck_distillation distillation = ck_distill(CK_BASELINE, student, other, count, 0, 0.25f, 0.5f);
  sums[0] = distillation.cross_entropy;
  sums[1] = distillation.kl;
  show_logarithms(named("distill %zu", count, 0, 0), sums, 2);
  // Both sums are rounded to float before they are subtracted from logits of at most 16.
  show_within(named("distill gradient %zu", count, 0, 0), 64 * float_rounding, student, count);
}

static void activations(size_t count) {
  float *x = numbers(count), *up = numbers(count), *gradient = numbers(count);
  float *y = zeros(count), *other = zeros(count);
  for (size_t i = 0; i < count; i++) x[i] *= 9;
  for (int kind = CK_SILU; kind <= CK_CLAMPED_SILU; kind++) {
    const ck_activation activation = {kind, 7};
    const size_t number = (size_t)kind;
    ck_activate(CK_BASELINE, activation, x, count, y);
    show_floats(named("activate %zu of %zu", number, count, 0), y, count);
    ck_activate_backward(CK_BASELINE, activation, x, gradient, count, y);
    show_floats(named("activate_backward %zu of %zu", number, count, 0), y, count);
    ck_gate(CK_BASELINE, activation, x, up, count, y);
    show_floats(named("gate %zu of %zu", number, count, 0), y, count);
    ck_gate_backward(CK_BASELINE, activation, x, up, gradient, count, y, other);
    show_floats(named("gate_backward %zu of %zu", number, count, 0), y, count);
    show_floats(named("gate_backward up %zu of %zu", number, count, 0), other, count);
  }
}

static void norms(size_t count) {
  float *x = numbers(count), *weight = numbers(count), *bias = numbers(count), *gradient = numbers(count);
  float *y = zeros(count), *accumulated = numbers(count);
  const float inverse = ck_rms_norm(CK_BASELINE, x, weight, count, 1e-5f, y);
  show_floats(named("rms_norm inverse %zu", count, 0, 0), &inverse, 1);
  show_floats(named("rms_norm %zu", count, 0, 0), y, count);
  ck_rms_norm_backward(CK_BASELINE, x, weight, inverse, gradient, count, accumulated);
  show_floats(named("rms_norm_backward %zu", count, 0, 0), accumulated, count);
  for (int has_bias = 0; has_bias < 2; has_bias++) {
    const ck_layer_norm_statistics statistics =
        ck_layer_norm(CK_BASELINE, x, weight, has_bias ? bias : NULL, count, 1e-5f, y);
    show_floats(named("layer_norm %zu", count, 0, 0), y, count);
    show_floats(
        named("layer_norm statistics %zu", count, 0, 0),
        (const float[]){statistics.mean, statistics.inverse_deviation}, 2);
    ck_layer_norm_backward(CK_BASELINE, x, weight, statistics, gradient, count, accumulated);
    show_floats(named("layer_norm_backward %zu", count, 0, 0), accumulated, count);
  }
}

static void rotations(void) {
  enum { heads = 3, size = 24, half = 10 };
  float *x = numbers(heads * size), *cosines = numbers(half), *sines = numbers(half);
  ck_rotate(CK_BASELINE, x, heads, size, half, cosines, sines, 1);
  show_floats("rotate", x, heads * size);
  ck_rotate_neighbours(CK_BASELINE, x, heads, size, half, cosines, sines, -1);
  show_floats("rotate_neighbours", x, heads * size);
}

static void vectors(size_t count) {
  float *x = numbers(count), *y = numbers(count);
  const float dot = ck_dot(CK_BASELINE, x, y, count);
  show_floats(named("dot %zu", count, 0, 0), &dot, 1);
  ck_add_scaled(CK_BASELINE, x, count, 0.3f, y);
  show_floats(named("add_scaled %zu", count, 0, 0), y, count);
  double *a = room(count, sizeof *a), *b = room(count, sizeof *b);
  for (size_t i = 0; i < count; i++) {
    a[i] = (double)x[i] / 3;
    b[i] = (double)y[i] / 7;
  }
  const double dot_f64 = ck_dot_f64(CK_BASELINE, a, b, count);
  show_doubles(named("dot_f64 %zu", count, 0, 0), &dot_f64, 1);
  ck_add_scaled_f64(CK_BASELINE, a, count, 0.3, b);
  show_doubles(named("add_scaled_f64 %zu", count, 0, 0), b, count);

  const size_t rows = 3;
  float *weights = numbers(rows * count), *products = zeros(rows);
  void *halves = room(rows * count, 2);
  ck_multiply_dense_rows(CK_BASELINE, CK_F32, weights, rows, count, x, products);
  show_floats(named("multiply_dense_rows of f32 %zu", count, 0, 0), products, rows);
  ck_narrow_f16(CK_BASELINE, weights, rows * count, halves);
  ck_multiply_dense_rows(CK_BASELINE, CK_F16, halves, rows, count, x, products);
  show_floats(named("multiply_dense_rows of f16 %zu", count, 0, 0), products, rows);
  ck_narrow_bf16(CK_BASELINE, weights, rows * count, halves);
  ck_multiply_dense_rows(CK_BASELINE, CK_BF16, halves, rows, count, x, products);
  show_floats(named("multiply_dense_rows of bf16 %zu", count, 0, 0), products, rows);

  const ck_adam step = {0.01f, 0.1f, 0.999f, 0.001f, 0.3f, 1e-8f};
  float *first = numbers(count), *second = positive(count);
  ck_adam_step(CK_BASELINE, step, x, count, y, first, second);
  show_floats(named("adam_step parameters %zu", count, 0, 0), y, count);
  show_floats(named("adam_step first %zu", count, 0, 0), first, count);
  show_floats(named("adam_step second %zu", count, 0, 0), second, count);
}

static void groups(size_t size) {
  enum { count = 5 };
  float *pooled = numbers(count), *y = numbers(count * size);
  ck_spread_groups(CK_BASELINE, pooled, count, size, 0.7f, y);
  show_floats(named("spread_groups of %zu", size, 0, 0), y, count * size);
}

// Columns of many rows at once.
static void refinement(void) {
  enum { groups = 2, size = 32, rows = 32, columns = groups * size };
  float *x = numbers(columns * rows), *y = numbers(columns * rows);
  float *products = zeros(groups * rows), *sums = zeros(groups * rows);
  ck_group_products(CK_BASELINE, x, y, groups, size, rows, products, sums);
  show_floats("group_products", products, groups * rows);
  show_floats("group_products sums", sums, groups * rows);

  float *codes = zeros(columns * rows), *differences = zeros(columns * rows);
  for (size_t i = 0; i < columns * rows; i++) codes[i] = (float)(next() & 3);
  float *scales = positive(groups * rows), *biases = numbers(groups * rows);
  ck_table_differences(CK_BASELINE, codes, x, scales, biases, groups, size, rows, differences);
  show_floats("table_differences", differences, columns * rows);

  // The first group's columns, whose moments have a diagonal that dominates.
  float *moments = numbers(columns * columns), *changes = zeros(size * rows);
  for (size_t i = 0; i < columns; i++) moments[i * columns + i] = 8;
  const ck_descent descent = {size, rows, columns, 3};
  const int has_changed = ck_descend(CK_BASELINE, descent, y, moments, scales, biases, codes, changes);
  require("descend", has_changed, 1, 0);
  show_floats("descend codes", codes, size * rows);
  show_floats("descend changes", changes, size * rows);

  float *column_scales = zeros(size * rows), *column_biases = zeros(size * rows);
  for (size_t i = 0; i < size * rows; i++) {
    column_scales[i] = scales[i % rows];
    column_biases[i] = biases[i % rows];
  }
  float *values = copied(x, size * rows), *errors = zeros(size * rows);
  ck_round_columns(CK_BASELINE, descent, moments, x, column_scales, column_biases, values, errors);
  show_floats("round_columns", values, size * rows);
  show_floats("round_columns errors", errors, size * rows);
  values = copied(x, size * rows);
  ck_round_columns(CK_BASELINE, descent, moments, y, NULL, NULL, values, errors);
  show_floats("round_columns without scales", values, size * rows);
}

// Adds the nodes of points that begin alike, sorted by their values; returns the number of nodes.
static size_t add_nodes(
    ck_lattice_node *nodes, size_t node, const uint16_t *points, size_t count, size_t level) {
  for (size_t i = 0; i < count;) {
    const unsigned value = points[i] >> 2 * level & 3;
    size_t rest = i;
    while (rest < count && (points[rest] >> 2 * level & 3u) == value) rest++;
    const size_t own = node++;
    nodes[own] = (ck_lattice_node){(uint8_t)level, (uint8_t)value, level == 7 ? points[i] : 0, 0};
    if (level < 7) node = add_nodes(nodes, node, points + i, rest - i, level + 1);
    nodes[own].next = (uint32_t)node;
    i = rest;
  }
  return node;
}

static void lattice(int is_even) {
  // All points of the magnitudes 0 and 1 in six columns, and one column of all three.
  enum { rows = 32, points = 3 * 64 };
  uint16_t list[points];
  for (size_t i = 0; i < points; i++) {
    unsigned point = (unsigned)(i / 64);
    for (size_t column = 0; column < 6; column++)
      point |= (unsigned)(i >> (5 - column) & 1) << 2 * (column + 1);
    list[i] = (uint16_t)(point | 1u << 14);
  }
  ck_lattice_node *nodes = room(8 * points, sizeof *nodes);
  const size_t node_count = add_nodes(nodes, 0, list, points, 0);
  const ck_lattice described = {nodes, node_count, {0.5f, 1.25f, 2}, is_even, rows};
  float *shares = numbers(64), *diagonal = positive(8);
  const ck_lattice_form form = {shares, 8, diagonal};
  float *targets = numbers(8 * rows), *weights = numbers(8 * rows), *scales = positive(rows);
  float *found = zeros(8 * rows), *costs = zeros(rows);
  ck_find_points(CK_BASELINE, described, form, targets, weights, scales, found, costs);
  show_floats(named("find_points even %zu", (size_t)is_even, 0, 0), found, 8 * rows);
  show_floats(named("find_points costs even %zu", (size_t)is_even, 0, 0), costs, rows);
}

static void transposition(size_t rows, size_t columns) {
  float *from = numbers(rows * columns), *to = zeros(rows * columns);
  ck_transpose(CK_BASELINE, from, rows, columns, columns, to, rows);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < columns; j++)
      require("transpose", to[j * rows + i], from[i * columns + j], 0);
}

// Normal equations with a diagonal that dominates: their condition number is at most 3, so that neither the
// order nor the fusing of operations moves the solution by more than some hundred roundings.
static void equations(size_t group_count) {
  const size_t rows = 16, unknowns = 2 * group_count;
  float *products = numbers(group_count * group_count * rows), *sums = numbers(group_count * group_count * rows);
  double *pooled = room(group_count * group_count, sizeof *pooled);
  for (size_t i = 0; i < group_count; i++) {
    for (size_t j = 0; j < group_count; j++) pooled[i * group_count + j] = i == j ? 4.0 * (double)unknowns : 0.5;
    for (size_t r = 0; r < rows; r++) products[(i * group_count + i) * rows + r] = 4 * (float)unknowns;
  }
  const ck_equations system = {group_count, rows, products, sums, pooled};
  double *right = room(unknowns * rows, sizeof *right), *x = room(unknowns * rows, sizeof *x);
  double *back = room(unknowns * rows, sizeof *back);
  double *scratch = room(ck_equations_scratch(group_count), sizeof *scratch);
  for (size_t i = 0; i < unknowns * rows; i++) right[i] = (double)((int64_t)(next() >> 43) - (1 << 20)) * 0x1p-20;
  memcpy(x, right, unknowns * rows * sizeof *x);
  for (size_t row = 0; row < rows; row += 8)
    require("solve_equations", ck_solve_equations(CK_BASELINE, system, row, 0, x, scratch), 255, 0);
  ck_multiply_equations(CK_BASELINE, system, x, back);
  const double bound = 100 * (double)unknowns * double_rounding;
  for (size_t i = 0; i < unknowns * rows; i++) require("equations", back[i], right[i], bound);
  begin_within(named("solve_equations %zu", group_count, 0, 0), bound);
  print_doubles(x, unknowns * rows);
  end();
  begin_within(named("multiply_equations %zu", group_count, 0, 0), bound);
  print_doubles(back, unknowns * rows);
  end();
}

// A product with the table's entry `backend`, packed or not, of a right operand as rows of steps or of columns.
static void product(
    const char *name, const char *kind, int backend, size_t m, size_t n, size_t k, int is_packed, int is_transposed,
    int adds) {
  const ck_product_backend entry = ck_product_backend_at(backend);
  char label[100];
  strcpy(label, named(name, m, n, k));
  // In scale * sum + c, the compiler chooses what is fused. With a power of two the choice makes no difference.
  const float scale = strcmp(kind, "fused") == 0 ? 0.5f : 0.75f;
  float *a = numbers(m * k), *b = numbers(n * k), *c = numbers(m * n);
  float *before = copied(c, m * n), *scratch = zeros(ck_product_scratch(backend, m, n, k));
  ck_product p = {
      .m = m, .n = n, .k = k, .b_format = CK_F32, .a = a, .b = b, .a_row_stride = k, .a_k_stride = 1,
      .b_k_stride = is_transposed ? 1 : n, .b_column_stride = is_transposed ? k : 1, .scale = scale,
      .keep = adds ? 1 : 0, .c = c, .c_stride = n};
  if (is_packed) {
    const size_t blocks = (m + entry.left_rows - 1) / entry.left_rows;
    const size_t steps = (k + entry.left_steps - 1) / entry.left_steps * entry.left_steps;
    float *packed = zeros(blocks * entry.left_rows * steps);
    ck_pack_left(backend, m, k, a, k, 1, packed, zeros(m * ((k + 1) / 2)));
    p.a = packed;
    p.is_packed = 1;
    p.a_row_stride = entry.left_rows * (entry.operands == CK_F32 ? steps : steps / 2);
  }
  ck_multiply(backend, p, scratch);
  // Rounding to bf16 changes a number by at most 2^-9 of it, and a product of two by less than 2^-7.
  const double rounding = entry.operands == CK_F32 ? 0 : 0x1p-7;
  double largest = 0;
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0, size = 0;
      for (size_t s = 0; s < k; s++) {
        const double term = (double)a[i * k + s] * b[is_transposed ? j * k + s : s * n + j];
        sum += term;
        size += fabs(term);
      }
      const double old = adds ? before[i * n + j] : 0, expected = (double)scale * sum + old;
      const double bound = (double)(k + 4) * float_rounding * ((double)scale * size + fabs(old));
      require(label, c[i * n + j], expected, bound + rounding * size);
      largest = fmax(largest, bound);
    }
  if (strcmp(kind, "within") == 0)
    begin_within(label, 2 * largest);
  else
    begin(label, kind);
  print_floats(c, m * n);
  end();
}

static void products(size_t m, size_t n, size_t k) {
  int fused = -1, exact = -1, baseline = -1;
  const ck_processor here = ck_this_processor();
  for (int backend = 0; backend < ck_product_backend_count(); backend++) {
    const ck_product_backend entry = ck_product_backend_at(backend);
    if (ck_product_preference(backend, here) == 0) continue;
    if (entry.needs == 0 && entry.operands == CK_F32) baseline = backend;
    if (entry.needs == 0 && entry.operands == CK_BF16) exact = backend;
    if (entry.needs == CK_HAS_AVX2) fused = backend;
  }
#if defined(__aarch64__)
  fused = baseline;
#endif
  const uint64_t start = state;
  for (int options = 0; options < 8; options++) {
    const int is_packed = options & 1, is_transposed = options >> 1 & 1, adds = options >> 2;
    // Every entry gets the same numbers.
    state = start + (uint64_t)options;
    product("product %zux%zux%zu", "within", baseline, m, n, k, is_packed, is_transposed, adds);
    state = start + (uint64_t)options;
    product("product of bf16 %zux%zux%zu", "equal", exact, m, n, k, is_packed, is_transposed, adds);
    state = start + (uint64_t)options;
    if (fused >= 0)
      product("product fused %zux%zux%zu", "fused", fused, m, n, k, is_packed, is_transposed, adds);
  }
}

static void products_of_doubles(size_t m, size_t n, size_t k) {
  double *a = room(m * k, sizeof *a), *b = room(n * k, sizeof *b), *c = room(m * n, sizeof *c);
  double *scratch = room(ck_gemm_f64_scratch(m), sizeof *scratch);
  for (size_t i = 0; i < m * k; i++) a[i] = (double)(int64_t)next() * 0x1p-63;
  for (size_t i = 0; i < n * k; i++) b[i] = (double)(int64_t)next() * 0x1p-63;
  ck_gemm_f64(CK_BASELINE, m, n, k, a, k, 1, b, n, 1, 1, 0, c, n, scratch);
  const double bound = (double)((k + 4) * k) * double_rounding;
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t s = 0; s < k; s++) sum += a[i * k + s] * b[s * n + j];
      require("gemm_f64", c[i * n + j], sum, 2 * bound);
    }
  begin_within(named("gemm_f64 %zux%zux%zu", m, n, k), 2 * bound);
  print_doubles(c, m * n);
  end();
}

static void process(void) {
  ck_set_in_region(1);
  require("in_region", ck_is_in_region(), 1, 0);
  ck_set_in_region(0);
  require("in_region", ck_is_in_region(), 0, 0);
  ck_pause();
  ck_keep_freed_memory();
  // The results of this program take more than a megabyte.
  if (ck_peak_memory() < 1 << 20) require("peak_memory", (double)ck_peak_memory(), 1 << 20, 0);
  const ck_processor here = ck_this_processor();
  const int best = ck_best_instruction_set();
#if defined(__x86_64__)
  require("best_instruction_set", best >= CK_BASELINE, 1, 0);
  require("this_processor", here.family > 0, 1, 0);
#else
  require("best_instruction_set", best, CK_BASELINE, 0);
  require("this_processor", here.features, 0, 0);
#endif
  require("int8_backend_count", ck_int8_backend_count() > 0, 1, 0);
  require("int8_backend_needs", ck_int8_backend_needs(0), 0, 0);
  require("int8_backend_name", strcmp(ck_int8_backend_name(0), "int8 baseline"), 0, 0);
}

int main(void) {
  half_floats();
  codes();
  const int bits[] = {2, 3, 4, 5, 6, 8};
  for (size_t i = 0; i < 6; i++) {
    packed_rows(bits[i], 8);
    packed_rows(bits[i], 32);
    packed_rows(bits[i], 64);
  }
  int8_rows(2, 16);
  const int int8_bits[] = {2, 4, 8};
  for (size_t i = 0; i < 3; i++)
    for (size_t size = 32; size <= 128; size *= 2) int8_rows(int8_bits[i], size);
  const size_t counts[] = {2, 15, 16, 17, 100, 1025};
  for (size_t i = 0; i < 6; i++) {
    rows_of_logits(counts[i]);
    activations(counts[i]);
    norms(counts[i]);
    vectors(counts[i]);
  }
  rotations();
  groups(32);
  groups(64);
  refinement();
  lattice(0);
  lattice(1);
  transposition(19, 37);
  equations(3);
  equations(20);
  const size_t shapes[][3] = {{1, 1, 1}, {5, 7, 3}, {13, 33, 64}, {32, 64, 33}, {3, 100, 700}, {50, 40, 321}};
  for (size_t i = 0; i < 6; i++) {
    products(shapes[i][0], shapes[i][1], shapes[i][2]);
    products_of_doubles(shapes[i][0], shapes[i][1], shapes[i][2]);
  }
  process();
}
