/// What a section holds.
enum ContainerSubject: Equatable {
  case tensor(TensorInfo)
  case asset(Asset)
  case manifest(byteCount: Int)

  /// The number in the table.
  enum Kind: UInt8, Comparable {
    case tensor = 1
    case asset = 2
    case manifest = 3

    static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }

  var kind: Kind {
    switch self {
    case .tensor: .tensor
    case .asset: .asset
    case .manifest: .manifest
    }
  }

  var name: String {
    switch self {
    case .tensor(let tensor): tensor.name
    case .asset(let asset): asset.name
    case .manifest: ""
    }
  }

  /// The size of the raw bytes.
  var byteCount: Int {
    switch self {
    case .tensor(let tensor): tensor.byteCount
    case .asset(let asset): asset.byteCount
    case .manifest(let byteCount): byteCount
    }
  }

  var tensor: TensorInfo? {
    guard case .tensor(let tensor) = self else { return nil }
    return tensor
  }

  /// Its name in errors.
  var place: String {
    switch self {
    case .tensor(let tensor): "tensor '\(tensor.name)'"
    case .asset(let asset): "asset '\(asset.name)'"
    case .manifest: "manifest"
    }
  }
}

/// A record of the table of contents.
struct ContainerSection: Equatable {
  let subject: ContainerSubject
  let encoding: ContainerEncoding
  /// Where the section begins, from the start of the file.
  let byteOffset: Int
  /// The range of its blocks in the list of all blocks; one array per section would make opening slow.
  let blocks: Range<Int>
  /// SHA-256 of the raw bytes.
  let digest: Digest256
}

/// The stored form of a block.
struct ContainerBlock: Equatable {
  var storedByteCount: UInt32
  /// CRC-32 of the stored bytes.
  var checksum: UInt32
}

extension ContainerSection {
  /// The bytes of the record.
  ///
  /// - Parameter allBlocks: The blocks of all sections.
  /// - Returns: 64 bytes, dimensions, name and block entries.
  func record(_ allBlocks: [ContainerBlock]) -> [UInt8] {
    let name = Array(subject.name.utf8)
    let tensor = subject.tensor
    var bytes: [UInt8] = [
      subject.kind.rawValue, tensor?.dtype.containerCode ?? 0, encoding.codec.rawValue,
      encoding.filter.rawValue, UInt8(tensor?.shape.count ?? 0), 0,
    ]
    bytes.appendInteger(UInt16(name.count))
    bytes.appendInteger(UInt32(encoding.blockByteCount))
    bytes.appendInteger(UInt32(0))
    bytes.appendInteger(UInt64(byteOffset))
    bytes.appendInteger(UInt64(subject.byteCount))
    bytes += digest.bytes
    for dimension in tensor?.shape ?? [] { bytes.appendInteger(UInt64(dimension)) }
    bytes += name
    for block in allBlocks[blocks] {
      bytes.appendInteger(block.storedByteCount)
      bytes.appendInteger(block.checksum)
    }
    return bytes
  }
}
