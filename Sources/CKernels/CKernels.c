#include "CKernels.h"
#include "dispatch.h"
#include "vectors.h"
#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Products and sums are rounded one by one, so that every instruction set gives the same bits.
#pragma clang fp contract(off)
// Vectors pass only between inlined functions of one instruction set.
#pragma clang diagnostic ignored "-Wpsabi"

#define CK_LEVEL 0
#define CK(name) name##_baseline
#include "kernels.inc"
#undef CK
#undef CK_LEVEL

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define CK_LEVEL 1
#define CK(name) name##_avx2
#include "kernels.inc"
#undef CK
#undef CK_LEVEL
#pragma clang attribute pop

#pragma clang attribute push(                                                           \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define CK_LEVEL 2
#define CK(name) name##_avx512
#include "kernels.inc"
#undef CK
#undef CK_LEVEL
#pragma clang attribute pop
#endif

void ck_widen_f16(int set, ck_bytes halves, size_t count, ck_floats_out values) {
  CALL(widen_f16, halves, count, values);
}
void ck_widen_bf16(int set, ck_bytes halves, size_t count, ck_floats_out values) {
  CALL(widen_bf16, halves, count, values);
}
void ck_narrow_f16(int set, ck_floats values, size_t count, ck_bytes_out halves) {
  CALL(narrow_f16, values, count, halves);
}
void ck_narrow_bf16(int set, ck_floats values, size_t count, ck_bytes_out halves) {
  CALL(narrow_bf16, values, count, halves);
}

void ck_pack_codes(int set, ck_bytes codes, size_t count, int bits, ck_bytes_out packed) {
  CALL(pack_codes, codes, count, bits, packed);
}
void ck_unpack_codes(int set, ck_bytes packed, size_t count, int bits, ck_bytes_out codes) {
  CALL(unpack_codes, packed, count, bits, codes);
}

void ck_dequantize(
    int set, ck_layout layout, ck_bytes codes, ck_floats scales, ck_floats biases, size_t first_group,
    size_t group_count, ck_floats_out values) {
  CALL(dequantize, layout, codes, scales, biases, first_group, group_count, values);
}
void ck_dequantize_bf16(
    int set, ck_layout layout, ck_bytes codes, ck_floats scales, ck_floats biases, size_t first_group,
    size_t group_count, ck_bytes_out values) {
  CALL(dequantize_bf16, layout, codes, scales, biases, first_group, group_count, values);
}
ptrdiff_t ck_round_to_nearest(
    int set, ck_layout layout, ck_floats weights, ck_bytes_out codes, ck_floats_out scales,
    ck_floats_out biases) {
  return CALL(round_to_nearest, layout, weights, codes, scales, biases);
}
void ck_search_clipping(
    int set, ck_layout layout, ck_floats weights, ck_floats importance, ck_clipping clipping,
    ck_floats_out scales, ck_floats_out biases) {
  CALL(search_clipping, layout, weights, importance, clipping, scales, biases);
}
void ck_round_to_grid(
    int set, ck_layout layout, ck_floats weights, ck_floats scales, ck_floats biases, ck_bytes_out codes) {
  CALL(round_to_grid, layout, weights, scales, biases, codes);
}
ck_squares ck_packed_squares(
    int set, ck_layout layout, ck_floats weights, ck_bytes codes, ck_floats scales, ck_floats biases) {
  return CALL(packed_squares, layout, weights, codes, scales, biases);
}
void ck_multiply_packed_rows(
    int set, ck_layout layout, ck_bytes codes, ck_floats scales, ck_floats biases, ck_floats x,
    ck_floats group_sums, ck_floats_out y) {
  CALL(multiply_packed_rows, layout, codes, scales, biases, x, group_sums, y);
}
void ck_reduce_by_codes(
    int set, ck_layout layout, ck_floats weight_gradient, ck_bytes codes, ck_floats_out scale_gradient,
    ck_floats_out bias_gradient) {
  CALL(reduce_by_codes, layout, weight_gradient, codes, scale_gradient, bias_gradient);
}

void ck_exp(int set, ck_floats x, size_t count, ck_floats_out y) { CALL(exp, x, count, y); }
double ck_log_sum_exp(int set, ck_floats x, size_t count) { return CALL(log_sum_exp, x, count); }
double ck_softmax(
    int set, ck_floats_out x, size_t count, size_t valid_count, float scale, float sink) {
  return CALL(softmax, x, count, valid_count, scale, sink);
}
void ck_softmax_backward(
    int set, ck_floats probabilities, ck_floats_out gradient, size_t count, float scale) {
  CALL(softmax_backward, probabilities, gradient, count, scale);
}
double ck_cross_entropy(
    int set, ck_floats_out logits, size_t count, size_t target, float gradient_scale) {
  return CALL(cross_entropy, logits, count, target, gradient_scale);
}
ck_distillation ck_distill(
    int set, ck_floats_out logits, ck_floats teacher, size_t count, size_t target, float label_scale,
    float teacher_scale) {
  return CALL(distillation, logits, teacher, count, target, label_scale, teacher_scale);
}
size_t ck_arg_max(int set, ck_floats x, size_t count) { return CALL(arg_max, x, count); }
ck_divergence ck_kl_divergence(int set, ck_floats reference, ck_floats candidate, size_t count) {
  return CALL(kl_divergence, reference, candidate, count);
}

void ck_activate(int set, ck_activation activation, ck_floats x, size_t count, ck_floats_out output) {
  CALL(activate, activation, x, count, output);
}
void ck_activate_backward(
    int set, ck_activation activation, ck_floats x, ck_floats gradient, size_t count,
    ck_floats_out input_gradient) {
  CALL(activate_backward, activation, x, gradient, count, input_gradient);
}
void ck_gate(
    int set, ck_activation activation, ck_floats gate, ck_floats up, size_t count, ck_floats_out output) {
  CALL(gate, activation, gate, up, count, output);
}
void ck_gate_backward(
    int set, ck_activation activation, ck_floats gate, ck_floats up, ck_floats gradient, size_t count,
    ck_floats_out gate_gradient, ck_floats_out up_gradient) {
  CALL(gate_backward, activation, gate, up, gradient, count, gate_gradient, up_gradient);
}
void ck_cap_scores(int set, ck_floats_out x, size_t count, float scale, float cap) {
  CALL(cap_scores, x, count, scale, cap);
}
void ck_cap_scores_backward(int set, ck_floats y, size_t count, float cap, ck_floats_out gradient) {
  CALL(cap_scores_backward, y, count, cap, gradient);
}
ck_layer_norm_statistics ck_layer_norm(
    int set, ck_floats x, ck_floats weight, ck_floats bias, size_t count, float epsilon,
    ck_floats_out output) {
  return CALL(layer_norm, x, weight, bias, count, epsilon, output);
}
void ck_layer_norm_backward(
    int set, ck_floats x, ck_floats weight, ck_layer_norm_statistics statistics, ck_floats gradient,
    size_t count, ck_floats_out accumulated) {
  CALL(layer_norm_backward, x, weight, statistics, gradient, count, accumulated);
}
float ck_rms_norm(
    int set, ck_floats x, ck_floats weight, size_t count, float epsilon, ck_floats_out output) {
  return CALL(rms_norm, x, weight, count, epsilon, output);
}
void ck_rms_norm_backward(
    int set, ck_floats x, ck_floats weight, float inverse_rms, ck_floats gradient, size_t count,
    ck_floats_out accumulated) {
  CALL(rms_norm_backward, x, weight, inverse_rms, gradient, count, accumulated);
}
void ck_rotate(
    int set, ck_floats_out x, size_t head_count, size_t head_size, size_t half, ck_floats cosines,
    ck_floats sines, float sign) {
  CALL(rotate, x, head_count, head_size, half, cosines, sines, sign);
}
void ck_rotate_neighbours(
    int set, ck_floats_out x, size_t head_count, size_t head_size, size_t half, ck_floats cosines,
    ck_floats sines, float sign) {
  CALL(rotate_neighbours, x, head_count, head_size, half, cosines, sines, sign);
}

double ck_dot_f64(int set, ck_doubles x, ck_doubles y, size_t count) { return CALL(dot_f64, x, y, count); }
void ck_add_scaled_f64(int set, ck_doubles x, size_t count, double scale, ck_doubles_out y) {
  CALL(add_scaled_f64, x, count, scale, y);
}
float ck_dot(int set, ck_floats x, ck_floats y, size_t count) { return CALL(dot, x, y, count); }
void ck_multiply_dense_rows(
    int set, int format, ck_bytes weights, size_t row_count, size_t column_count, ck_floats x,
    ck_floats_out y) {
  CALL(multiply_dense_rows, format, weights, row_count, column_count, x, y);
}
void ck_add_scaled(int set, ck_floats x, size_t count, float scale, ck_floats_out y) {
  CALL(add_scaled, x, count, scale, y);
}
void ck_pool_groups(int set, ck_floats x, size_t group_count, size_t group_size, ck_floats_out sums) {
  CALL(pool_groups, x, group_count, group_size, sums);
}
void ck_spread_groups(
    int set, ck_floats pooled, size_t group_count, size_t group_size, float scale, ck_floats_out y) {
  CALL(spread_groups, pooled, group_count, group_size, scale, y);
}
void ck_adam_step(
    int set, ck_adam step, ck_floats gradients, size_t count, ck_floats_out parameters,
    ck_floats_out first_moments, ck_floats_out second_moments) {
  CALL(adam_step, step, gradients, count, parameters, first_moments, second_moments);
}
void ck_group_products(
    int set, ck_floats x, ck_floats y, size_t group_count, size_t group_size, size_t row_count,
    ck_floats_out products, ck_floats_out sums) {
  CALL(group_products, x, y, group_count, group_size, row_count, products, sums);
}
int ck_descend(
    int set, ck_descent descent, ck_floats gradient, ck_floats moments, ck_floats scales, ck_floats biases,
    ck_floats_out codes, ck_floats_out changes) {
  return CALL(descend, descent, gradient, moments, scales, biases, codes, changes);
}
void ck_round_columns(
    int set, ck_descent descent, ck_floats shares, ck_floats weights, ck_floats scales, ck_floats biases,
    ck_floats_out values, ck_floats_out errors) {
  CALL(round_columns, descent, shares, weights, scales, biases, values, errors);
}
void ck_find_points(
    int set, ck_lattice lattice, ck_lattice_form form, ck_floats targets, ck_floats weights, ck_floats scales,
    ck_floats_out points, ck_floats_out costs) {
  CALL(find_points, lattice, form, targets, weights, scales, points, costs);
}
void ck_table_differences(
    int set, ck_floats codes, ck_floats weights, ck_floats scales, ck_floats biases, size_t group_count,
    size_t group_size, size_t row_count, ck_floats_out differences) {
  CALL(table_differences, codes, weights, scales, biases, group_count, group_size, row_count, differences);
}
void ck_transpose(
    int set, ck_floats from, size_t row_count, size_t column_count, size_t from_stride, ck_floats_out to,
    size_t to_stride) {
  CALL(transpose, from, row_count, column_count, from_stride, to, to_stride);
}

// The blocks of the lower triangle and the solution, 8 numbers for each element, and room to align them.
size_t ck_equations_scratch(size_t group_count) {
  const size_t size = CK_EQUATION_BLOCK, count = (2 * group_count + size - 1) / size;
  return 8 * (count * (count + 1) / 2 * size * size + count * size + 1);
}
unsigned ck_solve_equations(
    int set, ck_equations equations, size_t row, double damping, ck_doubles_out x, ck_doubles_out scratch) {
  return CALL(solve_equations, equations, row, damping, x, scratch);
}
void ck_multiply_equations(int set, ck_equations equations, ck_doubles x, ck_doubles_out y) {
  CALL(multiply_equations, equations, x, y);
}
