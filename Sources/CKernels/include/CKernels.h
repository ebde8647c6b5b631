/// C loops that need an instruction set. The Swift functions in Kernels say what each one computes.
#ifndef CKERNELS_H
#define CKERNELS_H
#include <stddef.h>
#include <stdint.h>

// A pointer is null only where its count is zero. Bytes need no alignment.
typedef const float *_Nullable ck_floats;
typedef float *_Nullable ck_floats_out;
typedef const double *_Nullable ck_doubles;
typedef double *_Nullable ck_doubles_out;
typedef const void *_Nullable ck_bytes;
typedef void *_Nullable ck_bytes_out;

/// The instruction sets of `set` arguments; each includes the ones before it. The matrix product also has
/// kernels that need other instructions: see `ck_product_backend`.
enum { CK_BASELINE = 0, CK_AVX2 = 1, CK_AVX512 = 2 };

/// The widest instruction set that this processor has.
int ck_best_instruction_set(void);

/// The vendors of processors that the choice of a kernel depends on.
enum { CK_OTHER_VENDOR, CK_AMD, CK_INTEL };
/// Instructions that a kernel may need, one bit each.
enum {
  /// AVX2, FMA and F16C.
  CK_HAS_AVX2 = 1,
  /// AVX-512 F, BW, DQ and VL.
  CK_HAS_AVX512 = 2,
  /// AVX512-BF16.
  CK_HAS_AVX512_BF16 = 4,
  /// AMX tiles and AMX-BF16; the operating system lets this process use them.
  CK_HAS_AMX_BF16 = 8,
  /// AVX512-VNNI.
  CK_HAS_AVX512_VNNI = 16
};
/// The properties of a processor that the choice of a kernel depends on.
typedef struct {
  /// The vendor, and its numbers for family and model, extended parts included. All are 0 without CPUID.
  int vendor, family, model;
  /// The instructions that both processor and operating system support.
  unsigned features;
} ck_processor;
/// The processor that this program runs on. Asks the operating system for the tiles of AMX.
ck_processor ck_this_processor(void);

// Half floats
void ck_widen_f16(int set, ck_bytes halves, size_t count, ck_floats_out values);
void ck_widen_bf16(int set, ck_bytes halves, size_t count, ck_floats_out values);
void ck_narrow_f16(int set, ck_floats values, size_t count, ck_bytes_out halves);
void ck_narrow_bf16(int set, ck_floats values, size_t count, ck_bytes_out halves);

// Codes
void ck_pack_codes(int set, ck_bytes codes, size_t count, int bits, ck_bytes_out packed);
void ck_unpack_codes(int set, ck_bytes packed, size_t count, int bits, ck_bytes_out codes);

/// The layout of quantized rows: codes of `group_size * groups_per_row` columns, dense.
typedef struct {
  int bits;
  size_t group_size, groups_per_row, row_count;
} ck_layout;

void ck_dequantize(
    int set, ck_layout layout, ck_bytes codes, ck_floats scales, ck_floats biases, size_t first_group,
    size_t group_count, ck_floats_out values);
/// The weights rounded to bf16.
void ck_dequantize_bf16(
    int set, ck_layout layout, ck_bytes codes, ck_floats scales, ck_floats biases, size_t first_group,
    size_t group_count, ck_bytes_out values);
/// Returns the index of the first weight that cannot be quantized, or -1.
ptrdiff_t ck_round_to_nearest(
    int set, ck_layout layout, ck_floats weights, ck_bytes_out codes, ck_floats_out scales,
    ck_floats_out biases);
/// Factors to try on each end of a group's range, in this order.
typedef struct {
  int count;
  const float *_Nullable factors;
} ck_clipping;
void ck_search_clipping(
    int set, ck_layout layout, ck_floats weights, ck_floats importance, ck_clipping clipping,
    ck_floats_out scales, ck_floats_out biases);
/// Codes are not packed here.
void ck_round_to_grid(
    int set, ck_layout layout, ck_floats weights, ck_floats scales, ck_floats biases, ck_bytes_out codes);
typedef struct {
  double error, norm;
} ck_squares;
ck_squares ck_packed_squares(
    int set, ck_layout layout, ck_floats weights, ck_bytes codes, ck_floats scales, ck_floats biases);
void ck_multiply_packed_rows(
    int set, ck_layout layout, ck_bytes codes, ck_floats scales, ck_floats biases, ck_floats x,
    ck_floats group_sums, ck_floats_out y);
/// A vector as int8: `values` in the order of int8.inc, and for each group a scale and the sum of the vector
/// before it was rounded.
typedef struct {
  const int8_t *_Nullable values;
  ck_floats scales, sums;
} ck_int8_vector;
/// The kernels of `ck_multiply_int8_rows`, the slowest first.
int ck_int8_backend_count(void);
const char *_Nonnull ck_int8_backend_name(int backend);
/// The bits of `ck_processor.features` that a kernel needs.
unsigned ck_int8_backend_needs(int backend);
/// A scale and a bias for each group. With `steps`, a byte for each group of 16 codes of 2 bits, 16 groups have one of
/// both: a group's scale is `scales` times the lower half of its byte, its bias `-biases` times the upper half.
typedef struct {
  ck_floats scales, biases;
  const uint8_t *_Nullable steps;
} ck_int8_tables;
/// 2, 4 or 8 bits in groups of multiples of 32; 2 bits also in groups of 16 that fill blocks of 64 columns, or of 256
/// with steps.
void ck_multiply_int8_rows(
    int backend, ck_layout layout, ck_bytes codes, ck_int8_tables tables, ck_int8_vector x, ck_floats_out y);
void ck_round_to_int8(
    int bits, size_t group_size, size_t group_count, ck_floats x, ck_bytes_out values, ck_floats_out scales);
void ck_reduce_by_codes(
    int set, ck_layout layout, ck_floats weight_gradient, ck_bytes codes, ck_floats_out scale_gradient,
    ck_floats_out bias_gradient);

// Rows of logits and attention scores
void ck_exp(int set, ck_floats x, size_t count, ck_floats_out y);
double ck_log_sum_exp(int set, ck_floats x, size_t count);
/// `sink` is one more score, not scaled, that takes its share of the sum; minus infinity for none.
double ck_softmax(
    int set, ck_floats_out x, size_t count, size_t valid_count, float scale, float sink);
void ck_softmax_backward(
    int set, ck_floats probabilities, ck_floats_out gradient, size_t count, float scale);
void ck_cap_scores(int set, ck_floats_out x, size_t count, float scale, float cap);
void ck_cap_scores_backward(int set, ck_floats y, size_t count, float cap, ck_floats_out gradient);
double ck_cross_entropy(
    int set, ck_floats_out logits, size_t count, size_t target, float gradient_scale);
size_t ck_arg_max(int set, ck_floats x, size_t count);

typedef struct {
  double kl, reference_log_sum_exp, candidate_log_sum_exp;
  float max_absolute_difference;
} ck_divergence;
ck_divergence ck_kl_divergence(int set, ck_floats reference, ck_floats candidate, size_t count);

typedef struct {
  double cross_entropy, kl;
} ck_distillation;
ck_distillation ck_distill(
    int set, ck_floats_out logits, ck_floats teacher, size_t count, size_t target, float label_scale,
    float teacher_scale);

// Layers
enum { CK_SILU, CK_GELU_TANH, CK_GELU, CK_CLAMPED_SILU };
typedef struct {
  int kind;
  /// The bound of CK_CLAMPED_SILU.
  float limit;
} ck_activation;
void ck_activate(int set, ck_activation activation, ck_floats x, size_t count, ck_floats_out output);
void ck_activate_backward(
    int set, ck_activation activation, ck_floats x, ck_floats gradient, size_t count,
    ck_floats_out input_gradient);
void ck_gate(
    int set, ck_activation activation, ck_floats gate, ck_floats up, size_t count, ck_floats_out output);
void ck_gate_backward(
    int set, ck_activation activation, ck_floats gate, ck_floats up, ck_floats gradient, size_t count,
    ck_floats_out gate_gradient, ck_floats_out up_gradient);
float ck_rms_norm(
    int set, ck_floats x, ck_floats weight, size_t count, float epsilon, ck_floats_out output);
void ck_rms_norm_backward(
    int set, ck_floats x, ck_floats weight, float inverse_rms, ck_floats gradient, size_t count,
    ck_floats_out accumulated);
typedef struct {
  float mean, inverse_deviation;
} ck_layer_norm_statistics;
/// A null bias adds nothing.
ck_layer_norm_statistics ck_layer_norm(
    int set, ck_floats x, ck_floats weight, ck_floats bias, size_t count, float epsilon,
    ck_floats_out output);
void ck_layer_norm_backward(
    int set, ck_floats x, ck_floats weight, ck_layer_norm_statistics statistics, ck_floats gradient,
    size_t count, ck_floats_out accumulated);
/// Turns `half` pairs of each head: elements j and j + half.
void ck_rotate(
    int set, ck_floats_out x, size_t head_count, size_t head_size, size_t half, ck_floats cosines,
    ck_floats sines, float sign);
/// Turns `half` pairs of each head: elements 2j and 2j + 1.
void ck_rotate_neighbours(
    int set, ck_floats_out x, size_t head_count, size_t head_size, size_t half, ck_floats cosines,
    ck_floats sines, float sign);

// Vectors
float ck_dot(int set, ck_floats x, ck_floats y, size_t count);
/// How floats are stored.
enum { CK_F32, CK_F16, CK_BF16 };
/// The products of rows and a vector, summed as in `ck_dot`.
void ck_multiply_dense_rows(
    int set, int format, ck_bytes weights, size_t row_count, size_t column_count, ck_floats x,
    ck_floats_out y);
void ck_add_scaled(int set, ck_floats x, size_t count, float scale, ck_floats_out y);
double ck_dot_f64(int set, ck_doubles x, ck_doubles y, size_t count);
void ck_add_scaled_f64(int set, ck_doubles x, size_t count, double scale, ck_doubles_out y);
void ck_pool_groups(int set, ck_floats x, size_t group_count, size_t group_size, ck_floats_out sums);
void ck_spread_groups(
    int set, ck_floats pooled, size_t group_count, size_t group_size, float scale, ck_floats_out y);

/// The numbers of one Adam step, already rounded to f32.
typedef struct {
  float step_size, one_minus_beta1, beta2, one_minus_beta2, root_of_correction2, epsilon, inverse_limit;
} ck_adam;
void ck_adam_step(
    int set, ck_adam step, ck_floats gradients, size_t count, ck_floats_out parameters,
    ck_floats_out first_moments, ck_floats_out second_moments);

// Columns of many rows at once: column j of row r is at [j * row_count + r]; row counts are multiples of 16
void ck_group_products(
    int set, ck_floats x, ck_floats y, size_t group_count, size_t group_size, size_t row_count,
    ck_floats_out products, ck_floats_out sums);
/// The maximum number of columns in a call of `ck_descend`.
enum { CK_DESCENT_COLUMNS = 128 };
typedef struct {
  size_t column_count, row_count;
  /// The elements from one row of the moments to the next.
  size_t moment_stride;
  /// The largest code.
  float top;
} ck_descent;
/// Returns whether any code changed.
int ck_descend(
    int set, ck_descent descent, ck_floats gradient, ck_floats moments, ck_floats scales, ck_floats biases,
    ck_floats_out codes, ck_floats_out changes);
/// Rounds columns, the last one first; `moment_stride` is that of `shares`. `values` becomes the codes;
/// without scales nothing is rounded, and `values` becomes the weights after the shares of errors.
void ck_round_columns(
    int set, ck_descent descent, ck_floats shares, ck_floats weights, ck_floats scales, ck_floats biases,
    ck_floats_out values, ck_floats_out errors);
/// A node of the tree of a lattice's points; a path from level 0 to level 7 is a point.
typedef struct {
  /// The column, and the index of its magnitude.
  uint8_t level, value;
  /// In level 7: the indices of all magnitudes, two bits each, the first column in the lowest.
  uint16_t point;
  /// The next node that is not below this one.
  uint32_t next;
} ck_lattice_node;
typedef struct {
  const ck_lattice_node *_Nonnull nodes;
  size_t node_count;
  float magnitudes[3];
  /// Whether an even number of values is negative.
  int is_even;
  size_t row_count;
} ck_lattice;
/// A cost of 8 columns: `diagonal` of the column, `shares` below the diagonal.
typedef struct {
  const float *_Nonnull shares;
  size_t share_stride;
  const float *_Nonnull diagonal;
} ck_lattice_form;
/// Finds the point with the least cost for each row; see `findPoints`.
void ck_find_points(
    int set, ck_lattice lattice, ck_lattice_form form, ck_floats targets, ck_floats weights, ck_floats scales,
    ck_floats_out points, ck_floats_out costs);
/// The scales times the codes, plus the biases, minus the weights.
void ck_table_differences(
    int set, ck_floats codes, ck_floats weights, ck_floats scales, ck_floats biases, size_t group_count,
    size_t group_size, size_t row_count, ck_floats_out differences);
/// Strides are the elements from one row to the next.
void ck_transpose(
    int set, ck_floats from, size_t row_count, size_t column_count, size_t from_stride, ck_floats_out to,
    size_t to_stride);

/// The unknowns of a block of the normal equations.
enum { CK_EQUATION_BLOCK = 16 };
/// The normal equations of the tables of some rows; row counts are multiples of 8.
typedef struct {
  size_t group_count, row_count;
  /// [groups, groups, rows] both: the products of two groups' codes over S, the second group not before the
  /// first; the sums of S over the second group, times the first group's codes.
  const float *_Nullable products, *_Nullable sums;
  /// [groups, groups]: the sums of S over two groups.
  const double *_Nullable pooled;
} ck_equations;
/// The elements of scratch memory that `ck_solve_equations` needs.
size_t ck_equations_scratch(size_t group_count);
/// Solves the equations of the 8 rows from `row` on. `x`, [2 * groups, rows], holds the right side and gets
/// the solution. Returns a bit for each of the rows, the first one lowest: whether its matrix is positive
/// definite.
unsigned ck_solve_equations(
    int set, ck_equations equations, size_t row, double damping, ck_doubles_out x, ck_doubles_out scratch);
/// Multiplies the matrices of all rows with `x`, [2 * groups, rows].
void ck_multiply_equations(int set, ck_equations equations, ck_doubles x, ck_doubles_out y);

// The matrix product
enum {
  /// The maximum number of steps of the inner dimension in a panel.
  CK_GEMM_STEPS = 320,
  /// The elements of a panel, which has at most 32 columns.
  CK_GEMM_PANEL = 32 * CK_GEMM_STEPS
};
/// c = scale * a·b + keep * c. Row i, step p of a is a[i * a_row_stride + p * a_k_stride]; step p, column j
/// of b is b[p * b_k_stride + j * b_column_stride]; c is row-major, its rows c_stride apart. Strides count
/// elements.
typedef struct {
  /// The rows of a and c, the columns of b and c, and the columns of a. k is at least 1.
  size_t m, n, k;
  /// How b is stored: CK_F32, or CK_BF16 if the kernel rounds operands to bf16.
  int b_format;
  /// Whether a was packed by `ck_pack_left`. a_row_stride is then the floats from one block to the next, and a
  /// points to the first step of a block.
  int is_packed;
  ck_floats a;
  ck_bytes b;
  size_t a_row_stride, a_k_stride, b_k_stride, b_column_stride;
  float scale, keep;
  ck_floats_out c;
  size_t c_stride;
} ck_product;

/// A kernel of the matrix product: an entry of the table in gemm.c.
typedef struct {
  const char *_Nonnull name;
  /// The type that operands are rounded to, to nearest even, before they are multiplied: CK_F32 or CK_BF16.
  /// Sums are in f32.
  int operands;
  /// The bits of `ck_processor.features` that it needs.
  unsigned needs;
  /// A packed left operand consists of blocks of this many rows, and a product may start at any multiple of
  /// `left_steps` of its steps. A block takes `left_rows` floats for each step, or for each two if the kernel
  /// rounds operands; its steps are rounded up to a multiple of `left_steps`.
  size_t left_rows, left_steps;
} ck_product_backend;

/// The number of entries.
int ck_product_backend_count(void);
/// An entry by its number, from 0.
ck_product_backend ck_product_backend_at(int backend);
/// The preference for an entry on a processor: 0 if it does not run there, otherwise higher for faster
/// entries.
int ck_product_preference(int backend, ck_processor processor);
/// The elements of scratch memory that an entry needs for a product of some sizes.
size_t ck_product_scratch(int backend, size_t m, size_t n, size_t k);
/// Computes a product with an entry that this processor supports.
void ck_multiply(int backend, ck_product product, ck_floats_out scratch);

/// Packs a left operand for several products, rounded if the kernel rounds. The scratch memory has
/// m * ((k + 1) / 2) elements.
void ck_pack_left(
    int backend, size_t m, size_t k, ck_floats a, size_t a_row_stride, size_t a_k_stride, ck_floats_out packed,
    ck_floats_out scratch);

/// The elements of scratch memory that `ck_gemm_f64` needs for a product with m rows.
size_t ck_gemm_f64_scratch(size_t m);
/// `ck_product` with doubles.
void ck_gemm_f64(
    int set, size_t m, size_t n, size_t k, ck_doubles a, size_t a_row_stride, size_t a_k_stride, ck_doubles b,
    size_t b_k_stride, size_t b_column_stride, double scale, double keep, ck_doubles_out c, size_t c_stride,
    ck_doubles_out scratch);

// Threads and memory
/// Whether the calling thread works on a chunk of a parallel region; in C because Swift has no thread-local
/// variables.
int ck_is_in_region(void);
void ck_set_in_region(int is_in_region);
/// Tells the processor that the thread waits for another one.
void ck_pause(void);
/// The maximum number of bytes that were resident at once, mapped files included; 0 if the system does not tell.
size_t ck_peak_memory(void);
/// Makes the allocator keep freed memory instead of returning it to the system.
void ck_keep_freed_memory(void);

#endif
