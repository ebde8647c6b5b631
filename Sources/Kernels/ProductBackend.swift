internal import CKernels

/// What the operands of a product are rounded to before they are multiplied.
public enum ProductOperands: String, Sendable, CaseIterable {
  /// They are taken as they are.
  case f32
  /// Rounded to bf16, to nearest even, where the processor multiplies them faster; as they are elsewhere.
  ///
  /// Sums are in f32; of random operands the product's relative error is 0.002.
  case bf16

  /// What operands are really rounded to here: bf16 only where products of bf16 are the faster ones.
  package var onThisProcessor: ProductOperands { ProductBackend.best(for: self).operands }
}

/// What the choice of a product's kernel depends on.
package struct Processor: Sendable {
  /// Who made it.
  package enum Vendor: Sendable { case amd, intel, other }

  /// Instructions that a kernel may need.
  package struct Features: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    /// AVX2, FMA and F16C.
    package static let avx2 = Features(rawValue: UInt32(CK_HAS_AVX2))
    /// AVX-512 F, BW, DQ and VL.
    package static let avx512 = Features(rawValue: UInt32(CK_HAS_AVX512))
    /// AVX512-BF16.
    package static let avx512BF16 = Features(rawValue: UInt32(CK_HAS_AVX512_BF16))
  }

  fileprivate let forC: ck_processor

  /// Describes a processor, for tests of what would be chosen on it.
  ///
  /// - Parameters:
  ///   - vendor: Who made it.
  ///   - family: As CPUID counts, the extended family added.
  ///   - model: As CPUID counts, the extended model included.
  ///   - features: What it has.
  package init(vendor: Vendor, family: Int, model: Int, features: Features) {
    let code =
      switch vendor {
      case .amd: CK_AMD
      case .intel: CK_INTEL
      case .other: CK_OTHER_VENDOR
      }
    forC = ck_processor(
      vendor: Int32(code), family: Int32(family), model: Int32(model), features: features.rawValue)
  }

  private init() { forC = ck_this_processor() }

  /// The one that this program runs on.
  package static let current = Processor()
}

/// A kernel of the matrix product: one entry of the table in `CKernels/gemm.c`.
///
/// An entry names the instructions it needs, what it rounds operands to, its scratch memory and its function.
/// Of those that a processor supports the one is chosen that is fastest there, as a table by vendor and
/// family says. Nothing is measured at run time: the same machine takes the same kernel in every run, so a
/// calibration repeats exactly.
package struct ProductBackend: Sendable, Equatable, CustomStringConvertible {
  /// Its number in the table.
  let index: Int32
  /// What it is called.
  package let name: String
  /// What it rounds operands to.
  package let operands: ProductOperands

  package var description: String { name }

  private init(_ index: Int32) {
    self.index = index
    let entry = unsafe ck_product_backend_at(index)
    name = unsafe String(cString: entry.name)
    operands = unsafe entry.operands == Int32(CK_BF16) ? .bf16 : .f32
  }

  /// Every entry of the table.
  package static let all = (0..<ck_product_backend_count()).map { ProductBackend($0) }

  /// Those that this processor supports.
  package static var supported: [ProductBackend] { all.filter { $0.preference(on: .current) > 0 } }

  /// How preferable it is on a processor: 0 where it does not run, and the more the faster it is.
  package func preference(on processor: Processor) -> Int {
    Int(ck_product_preference(index, processor.forC))
  }

  /// The fastest one of those that round operands no further than they may be.
  ///
  /// - Parameters:
  ///   - operands: What operands may be rounded to.
  ///   - processor: Where it runs.
  /// - Returns: An entry of the table.
  package static func best(for operands: ProductOperands, on processor: Processor) -> ProductBackend {
    let allowed = all.filter { $0.operands == .f32 || operands == .bf16 }
    let best = allowed.max { $0.preference(on: processor) < $1.preference(on: processor) }
    guard let best else { preconditionFailure("the table of products has no entry for every processor") }
    return best
  }

  private static let bestF32 = best(for: .f32, on: .current)
  private static let bestBF16 = best(for: .bf16, on: .current)

  /// The fastest one on this processor.
  package static func best(for operands: ProductOperands) -> ProductBackend {
    operands == .bf16 ? bestBF16 : bestF32
  }

  /// The elements of scratch memory for a product `[m, k] · [k, n]`.
  func scratchCount(_ m: Int, _ n: Int, _ k: Int) -> Int { ck_product_scratch(index, m, n, k) }
}
