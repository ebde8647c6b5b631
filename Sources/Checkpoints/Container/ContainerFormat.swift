/// The constants of `Formats/container.md`.
enum ContainerFormat {
  static let magic: [UInt8] = [0x52, 0x49, 0x4C, 0x51, 0x0D, 0x0A, 0x89, 0x0A]
  static let endMagic: [UInt8] = [0x51, 0x4C, 0x49, 0x52, 0x0D, 0x0A, 0x89, 0x0A]
  static let majorVersion: UInt16 = 1
  static let minorVersion: UInt16 = 0

  static let alignment = 64
  static let headerByteCount = 64
  static let recordByteCount = 64
  static let blockEntryByteCount = 8
  static let trailerByteCount = 80

  static let sectionLimit = 1 << 24
  static let nameByteLimit = Int(UInt16.max)
  static let rankLimit = 8
  static let blockByteRange = 64...(1 << 24)
  static let manifestByteLimit = 1 << 26
  /// The maximum number of raw bytes per stored byte; zstd stays below half of it for zeros.
  static let expansionLimit = 1 << 16

  /// The first multiple of the alignment at or after an offset, or nil when it is not representable.
  static func aligned(_ offset: Int) -> Int? {
    let (sum, overflow) = offset.addingReportingOverflow(alignment - 1)
    return overflow ? nil : sum / alignment * alignment
  }
}

/// How the blocks of a section are compressed.
enum ContainerCodec: UInt8 {
  case raw = 0
  case zlib = 1
  case zstd = 2
}

/// The transformation of a block before it is compressed.
enum ContainerFilter: UInt8 {
  case none = 0
  case bytePlanes2 = 2
  case bytePlanes4 = 4

  /// The bytes of an element; 1 without a filter.
  var width: Int { max(1, Int(rawValue)) }
}

/// How a section is stored.
struct ContainerEncoding: Equatable {
  var codec: ContainerCodec
  var filter: ContainerFilter
  /// The raw bytes of a block; the last one may be shorter.
  var blockByteCount: Int

  /// The number of blocks of a section.
  func blockCount(of rawByteCount: Int) -> Int {
    rawByteCount == 0 ? 0 : (rawByteCount - 1) / blockByteCount + 1
  }

  /// The raw bytes of a block, as offsets in its section.
  func rawRange(ofBlock block: Int, of rawByteCount: Int) -> Range<Int> {
    let start = block * blockByteCount
    return start..<start + min(blockByteCount, rawByteCount - start)
  }
}

extension DType {
  private static let containerCodes: [(dtype: DType, code: UInt8)] = [
    (.bool, 1), (.u8, 2), (.i8, 3), (.u16, 4), (.i16, 5), (.u32, 6), (.i32, 7), (.u64, 8), (.i64, 9),
    (.f16, 10), (.bf16, 11), (.f32, 12), (.f64, 13), (.c64, 14), (.f8E5M2, 15), (.f8E4M3, 16),
    (.f8E8M0, 17), (.f8E4M3FNUZ, 18), (.f8E5M2FNUZ, 19), (.f6E2M3, 20), (.f6E3M2, 21), (.f4, 22),
  ]
  private static let codeByDType = Dictionary(
    uniqueKeysWithValues: containerCodes.map { ($0.dtype, $0.code) })
  private static let dtypeByCode = containerCodes.map(\.dtype)

  /// The number of this type in a container.
  var containerCode: UInt8 {
    guard let code = Self.codeByDType[self] else { preconditionFailure("\(self) has no container code") }
    return code
  }

  /// The type with a number, or nil when there is none.
  init?(containerCode code: UInt8) {
    guard code >= 1, Int(code) <= Self.dtypeByCode.count else { return nil }
    self = Self.dtypeByCode[Int(code) - 1]
  }
}
