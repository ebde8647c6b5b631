internal import CKernels

/// The properties of a processor that the choice of a product's kernel depends on.
package struct Processor: Sendable {
  /// The maker of the processor.
  package enum Vendor: String, Sendable { case amd, intel, other }

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

    private static let named: [(Features, String)] = [
      (.avx2, "AVX2"), (.avx512, "AVX-512"), (.avx512VNNI, "AVX512-VNNI"), (.avx512BF16, "AVX512-BF16"),
      (.amxBF16, "AMX-BF16"),
    ]

    /// The names of the instructions.
    package var names: [String] { Self.named.filter { contains($0.0) }.map(\.1) }
  }

  let forC: ck_processor

  /// The maker of the processor.
  package var vendor: Vendor {
    switch Int(forC.vendor) {
    case CK_AMD: .amd
    case CK_INTEL: .intel
    default: .other
    }
  }
  /// The family of CPUID, the extended family added; 0 without CPUID.
  package var family: Int { Int(forC.family) }
  /// The model of CPUID, the extended model included; 0 without CPUID.
  package var model: Int { Int(forC.model) }
  /// The instructions that processor and operating system support.
  package var features: Features { Features(rawValue: forC.features) }

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
