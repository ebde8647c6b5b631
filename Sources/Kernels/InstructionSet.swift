import CKernels

/// A set of processor instructions that every kernel is compiled for.
///
/// Results have the same bits with each, except those of `multiply` and `multiplyPackedRows`, which may fuse
/// products and sums.
package enum InstructionSet: Int32, CaseIterable, Sendable {
  /// What every processor of the architecture has: SSE2 on x86-64, NEON on arm64.
  case baseline = 0
  /// AVX2, FMA and F16C.
  case avx2 = 1
  /// AVX-512 F, BW, DQ and VL in addition to `avx2`.
  case avx512 = 2

  /// The widest set that this processor has.
  package static let best = InstructionSet(rawValue: ck_best_instruction_set()) ?? .baseline

  /// The sets that this processor has, narrowest first.
  package static var supported: [InstructionSet] { allCases.filter { $0.rawValue <= best.rawValue } }
}
