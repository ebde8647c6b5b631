import CKernels

/// A set of processor instructions that every kernel is compiled for.
///
/// Except in `multiply` and `multiplyPackedRows`, which may fuse products and sums, results are the same bits in each.
package enum InstructionSet: Int32, CaseIterable, Sendable {
  /// What every processor of the architecture has: SSE2 on x86-64, NEON on arm64.
  case baseline = 0
  /// AVX2, FMA and F16C.
  case avx2 = 1
  /// AVX-512 F, BW, DQ and VL beside those of `avx2`.
  case avx512 = 2

  /// The widest one that this processor has.
  package static let best = InstructionSet(rawValue: ck_best_instruction_set()) ?? .baseline

  /// Those that this processor has, narrowest first.
  package static var supported: [InstructionSet] { allCases.filter { $0.rawValue <= best.rawValue } }
}
