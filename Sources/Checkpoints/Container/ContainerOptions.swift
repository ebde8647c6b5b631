/// How the sections of a container are compressed.
public enum ContainerCompression: Sendable, Equatable {
  /// Every section is stored as it is.
  case none
  /// zlib at its default level.
  case zlib
  /// zstd at a level of `zstdLevels`.
  case zstd(level: Int)

  /// The zstd levels that are accepted.
  public static let zstdLevels = 1...19

  var codec: ContainerCodec {
    switch self {
    case .none: .raw
    case .zlib: .zlib
    case .zstd: .zstd
    }
  }
}

/// The options for writing a container; the contents are the same with any of them.
public struct ContainerOptions: Sendable, Equatable {
  /// How sections are compressed; one that does not shrink by 2 % is stored raw.
  public var compression: ContainerCompression
  /// Whether packed codes and `F32` weights stay raw, so that they can be used in place.
  public var keepsMappable: Bool
  /// The raw bytes of a block: a multiple of 64, at most 16 MiB.
  public var blockByteCount: Int

  /// Chooses options; the defaults are those of `rilq`.
  public init(
    compression: ContainerCompression = .zstd(level: 3), keepsMappable: Bool = true,
    blockByteCount: Int = 1 << 20
  ) {
    self.compression = compression
    self.keepsMappable = keepsMappable
    self.blockByteCount = blockByteCount
  }

  /// Checks that a container can be written with these options.
  func validate(path: String) throws(FormatError) {
    if case .zstd(let level) = compression, !ContainerCompression.zstdLevels.contains(level) {
      throw FormatError(path, .unsupportedKind("zstd level \(level)"))
    }
    guard ContainerFormat.blockByteRange.contains(blockByteCount),
      blockByteCount % ContainerFormat.alignment == 0
    else { throw FormatError(path, .unsupportedKind("a block size of \(blockByteCount) bytes")) }
  }

  /// How a section is stored if it shrinks enough that way.
  func encoding(for subject: ContainerSubject) -> ContainerEncoding {
    let raw = ContainerEncoding(codec: .raw, filter: .none, blockByteCount: blockByteCount)
    guard compression != .none else { return raw }
    var encoding = raw
    encoding.codec = compression.codec
    if case .tensor(let tensor) = subject {
      if keepsMappable && (tensor.dtype == .u32 || tensor.dtype == .f32 && !tensor.isTable) { return raw }
      encoding.filter =
        switch tensor.dtype.bitWidth {
        case 16: .bytePlanes2
        case 32: .bytePlanes4
        default: .none
        }
    }
    return encoding
  }
}

extension TensorInfo {
  /// Whether it holds scales or biases of groups, or trained changes to them.
  fileprivate var isTable: Bool {
    ModuleTensor.part(of: name)?.isTable == true
  }
}
