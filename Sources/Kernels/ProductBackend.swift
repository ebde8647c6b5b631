internal import CKernels

/// The type that the operands of a product are rounded to before they are multiplied.
public enum ProductOperands: String, Sendable, CaseIterable {
  /// Operands are not rounded.
  case f32
  /// Operands are rounded to bf16, to nearest even, if the processor multiplies bf16 faster; otherwise not.
  ///
  /// Sums are in f32. With random operands the product's relative error is 0.002.
  case bf16

  /// The type that operands are rounded to on this processor: bf16 only if products of bf16 are faster.
  package var onThisProcessor: ProductOperands { ProductBackend.best(for: self).operands }
}

/// The properties of a processor that the choice of a product's kernel depends on.
package struct Processor: Sendable {
  /// The maker of the processor.
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
    /// AMX with its tiles of bf16.
    package static let amxBF16 = Features(rawValue: UInt32(CK_HAS_AMX_BF16))
    /// AVX512-VNNI.
    package static let avx512VNNI = Features(rawValue: UInt32(CK_HAS_AVX512_VNNI))
  }

  fileprivate let forC: ck_processor

  /// Describes a processor, for tests of the kernel that would be chosen on it.
  ///
  /// - Parameters:
  ///   - vendor: The maker of the processor.
  ///   - family: The family of CPUID, the extended family added.
  ///   - model: The model of CPUID, the extended model included.
  ///   - features: The instructions that it has.
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

  /// Whether it has all instructions of a kernel; bits as in `Features`.
  func has(_ needs: UInt32) -> Bool { forC.features & needs == needs }

  /// The processor that this program runs on.
  package static let current = Processor()
}

/// A kernel of the matrix product: one entry of the table in `CKernels/gemm.c`.
///
/// An entry names the instructions it needs, the type it rounds operands to, its scratch memory and its
/// function. A table by vendor and family tells which supported entry is the fastest. Nothing is measured at
/// run time, so the same machine takes the same kernel in every run, and a calibration repeats exactly.
package struct ProductBackend: Sendable, Equatable, CustomStringConvertible {
  /// Its number in the table.
  let index: Int32
  /// Its name.
  package let name: String
  /// The type it rounds operands to.
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

  /// The entries that this processor supports.
  package static var supported: [ProductBackend] { all.filter { $0.preference(on: .current) > 0 } }

  /// The preference for the entry on a processor: 0 if it does not run there, otherwise higher for faster
  /// entries.
  package func preference(on processor: Processor) -> Int {
    Int(ck_product_preference(index, processor.forC))
  }

  /// The fastest entry that rounds operands no further than allowed.
  ///
  /// - Parameters:
  ///   - operands: The type that operands may be rounded to.
  ///   - processor: The processor to choose for.
  /// - Returns: An entry of the table.
  package static func best(for operands: ProductOperands, on processor: Processor) -> ProductBackend {
    let allowed = all.filter { $0.operands == .f32 || operands == .bf16 }
    let best = allowed.max { $0.preference(on: processor) < $1.preference(on: processor) }
    guard let best else { preconditionFailure("the table of products has no entry for every processor") }
    return best
  }

  private static let bestF32 = best(for: .f32, on: .current)
  private static let bestBF16 = best(for: .bf16, on: .current)

  /// The fastest such entry on this processor.
  package static func best(for operands: ProductOperands) -> ProductBackend {
    operands == .bf16 ? bestBF16 : bestF32
  }

  /// The number of scratch elements for a product `[m, k] · [k, n]`.
  func scratchCount(_ m: Int, _ n: Int, _ k: Int) -> Int { ck_product_scratch(index, m, n, k) }
}
