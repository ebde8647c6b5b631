/// The bytes of a checkpoint in safetensors files.
struct SafetensorsStore: TensorStore {
  private let path: String
  private let access: FileAccess
  private var files: [SafetensorsFile] = []
  /// The position of each file's first tensor.
  private var starts: [Int] = []
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
    let header = file.header
    let start = tensors.count
    if start == 0, rename == nil {
      tensors = header.tensors
      positions = header.positions
    } else {
      tensors += header.tensors.map { tensor in rename.map { tensor.renamed($0(tensor.name)) } ?? tensor }
      positions.reserveCapacity(tensors.count)
      for (i, range) in header.ranges.enumerated() {
        let name = tensors[start + i].name
        guard positions.updateValue(start + i, forKey: name) == nil else {
          throw FormatError(
            file.path, byte: range.lowerBound, at: "tensor '\(name)'",
            .malformed("is in another file of the checkpoint too"))
        }
      }
    }
    starts.append(start)
    files.append(file)
  }

  var weightFileNames: [String] {
    Set(files.map { $0.path.split(separator: "/").last.map(String.init) ?? $0.path }).sorted()
  }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let position = positions[tensor.name],
      let index = starts.lastIndex(where: { $0 <= position })
    else { throw FormatError(path, .missing("tensor '\(tensor.name)'")) }
    let file = files[index]
    return try file.bytes(of: file.header.entry(position - starts[index]))
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
