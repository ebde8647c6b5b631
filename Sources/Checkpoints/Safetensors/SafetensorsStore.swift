/// The bytes of a checkpoint in safetensors files.
struct SafetensorsStore: TensorStore {
  /// The place of a tensor: its file, and its entry there; numbers, because there are many tensors.
  private struct Place {
    let fileIndex: Int
    let entryIndex: Int
  }

  private let path: String
  private let access: FileAccess
  private var files: [SafetensorsFile] = []
  private var places: [Place] = []
  /// The tensors in the order of the files and of their bytes.
  private(set) var tensors: [TensorInfo] = []
  /// The positions of the tensors by name.
  private(set) var positions: [String: Int] = [:]

  /// An empty store.
  ///
  /// - Parameters:
  ///   - path: The folder that assets are read from, or the one file.
  ///   - access: Whether assets are mapped or read.
  init(path: String, access: FileAccess) {
    self.path = path
    self.access = access
  }

  /// Adds the tensors of a file.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - rename: Gives a tensor's name in the checkpoint, if it differs from that in the file.
  /// - Throws: `FormatError` when the checkpoint already has a tensor of that name.
  mutating func add(_ file: SafetensorsFile, rename: ((String) -> String)? = nil) throws(FormatError) {
    let entries = file.header.entries
    let start = tensors.count
    places += entries.indices.map { Place(fileIndex: files.count, entryIndex: $0) }
    tensors.reserveCapacity(start + entries.count)
    for entry in entries {
      tensors.append(rename.map { entry.tensor.renamed($0(entry.tensor.name)) } ?? entry.tensor)
    }
    if start == 0, rename == nil {
      positions = file.header.positions
    } else {
      positions.reserveCapacity(tensors.count)
      for (i, entry) in entries.enumerated() {
        let name = tensors[start + i].name
        guard positions.updateValue(start + i, forKey: name) == nil else {
          throw FormatError(
            file.path, byte: entry.range.lowerBound, at: "tensor '\(name)'",
            .malformed("is in another file of the checkpoint too"))
        }
      }
    }
    files.append(file)
  }

  var weightFileNames: [String] {
    Set(files.map { $0.path.split(separator: "/").last.map(String.init) ?? $0.path }).sorted()
  }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let position = positions[tensor.name] else {
      throw FormatError(path, .missing("tensor '\(tensor.name)'"))
    }
    let place = places[position]
    let file = files[place.fileIndex]
    return try file.bytes(of: file.header.entries[place.entryIndex])
  }

  func bytes(of asset: Asset) throws -> TensorBytes {
    let file = try InputFile(path: FileSystem.join(path, asset.name), access: access)
    guard file.byteCount == asset.byteCount else {
      throw FormatError(file.path, .system("was changed while it was read"))
    }
    let bytes = try file.bytes(in: 0..<file.byteCount)
    try bytes.withSpan { span throws(FormatError) in try GitPointer.refuse(span, path: file.path) }
    return bytes
  }
}

extension TensorInfo {
  fileprivate func renamed(_ name: String) -> TensorInfo {
    TensorInfo(name: name, dtype: dtype, shape: shape)
  }
}
