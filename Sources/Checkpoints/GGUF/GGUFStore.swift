/// The bytes of a checkpoint in a GGUF file; tensors are decoded on demand.
struct GGUFStore: TensorStore {
  private let file: InputFile
  private let sources: [String: GGUFSource]
  private let assets: [String: TensorBytes]

  /// Joins a file with the tensors and files that are made from it.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - sources: How each tensor is made, by its name in the checkpoint.
  ///   - assets: The files made from the metadata, by name.
  init(_ file: InputFile, sources: [String: GGUFSource], assets: [String: TensorBytes]) {
    self.file = file
    self.sources = sources
    self.assets = assets
  }

  var weightFileNames: [String] { [] }

  func storedForm(of tensor: TensorInfo) -> StoredForm? { sources[tensor.name]?.storedForm }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let source = sources[tensor.name] else {
      throw FormatError(file.path, .missing("tensor '\(tensor.name)'"))
    }
    return try source.bytes(of: file, byteCount: tensor.byteCount)
  }

  func bytes(of asset: Asset) throws -> TensorBytes {
    guard let bytes = assets[asset.name] else { throw FormatError(file.path, .missing("'\(asset.name)'")) }
    return bytes
  }
}
