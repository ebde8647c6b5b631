/// The bytes of a checkpoint that lies in safetensors files.
struct SafetensorsStore: TensorStore {
  /// Where a tensor is: its file, and its entry there.
  private struct Place {
    let file: SafetensorsFile
    let entry: SafetensorsHeader.Entry
  }

  private let path: String
  private var places: [String: Place] = [:]
  /// The tensors in the order of the files and of their bytes.
  private(set) var tensors: [TensorInfo] = []

  /// An empty store.
  ///
  /// - Parameter path: The folder that assets are read from, or the one file.
  init(path: String) { self.path = path }

  /// Adds the tensors of a file.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - rename: The name a tensor has in the checkpoint.
  /// - Throws: `FormatError` when the checkpoint has a tensor of that name already.
  mutating func add(_ file: SafetensorsFile, rename: (String) -> String = { $0 }) throws(FormatError) {
    places.reserveCapacity(places.count + file.header.entries.count)
    tensors.reserveCapacity(tensors.count + file.header.entries.count)
    for entry in file.header.entries {
      let name = rename(entry.tensor.name)
      guard places.updateValue(Place(file: file, entry: entry), forKey: name) == nil else {
        throw FormatError(
          file.path, byte: entry.range.lowerBound, at: "tensor '\(name)'",
          .malformed("is in another file of the checkpoint too"))
      }
      tensors.append(name == entry.tensor.name ? entry.tensor : entry.tensor.renamed(name))
    }
  }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let place = places[tensor.name] else {
      throw FormatError(path, .missing("tensor '\(tensor.name)'"))
    }
    return place.file.bytes(of: place.entry)
  }

  func bytes(of asset: Asset) throws -> TensorBytes {
    let file = try MappedFile(path: FileSystem.join(path, asset.name))
    return TensorBytes(file, range: 0..<file.byteCount)
  }
}

extension TensorInfo {
  fileprivate func renamed(_ name: String) -> TensorInfo {
    TensorInfo(name: name, dtype: dtype, shape: shape)
  }
}
