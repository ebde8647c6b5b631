/// The files of a folder that are not weights.
package enum FolderAssets {
  /// The file with the result of the run that wrote a folder; it is no part of the checkpoint.
  package static let resultsName = "rilq-results.json"

  /// The extensions of files that hold weights in some format; they never become assets.
  private static let weightExtensions: Set<String> = [
    "safetensors", "rilq", "bin", "pth", "pt", "ckpt", "pkl", "gguf", "onnx", "onnx_data", "h5", "msgpack",
  ]

  /// Lists the regular files below a folder, sorted by name, without hidden ones, weights and results.
  ///
  /// A link to a file is followed when `FileSystem.pathInside` allows it; linked folders are not entered.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - reserved: Names at the top of the folder that are left out.
  /// - Returns: The files, with paths relative to the folder.
  /// - Throws: `FormatError` when a link leaves the folder or leads nowhere.
  static func list(in folder: String, except reserved: Set<String>) throws -> [Asset] {
    var assets: [Asset] = []
    try add(below: "", of: folder, to: &assets)
    return assets.filter { !reserved.contains($0.name) && $0.name != resultsName }
      .sorted { precedes($0.name, $1.name) }
  }

  private static func add(below prefix: String, of folder: String, to assets: inout [Asset]) throws {
    for name in try FileSystem.names(in: prefix.isEmpty ? folder : FileSystem.join(folder, prefix)) {
      guard !name.hasPrefix("."), !isWeights(name) else { continue }
      let assetName = prefix.isEmpty ? name : prefix + "/" + name
      let isLink = try FileSystem.isLink(FileSystem.join(folder, assetName))
      switch try FileSystem.kind(of: FileSystem.pathInside(folder, assetName)) {
      case .file(let byteCount): assets.append(Asset(name: assetName, byteCount: byteCount))
      case .folder where !isLink: try add(below: assetName, of: folder, to: &assets)
      default: continue
      }
    }
  }

  /// Whether a file holds weights, or is the index of files that do.
  private static func isWeights(_ name: String) -> Bool {
    if name == GGUFKeptTokenizer.fileName { return false }
    let ending = FileSystem.fileExtension(name)
    return weightExtensions.contains(ending) || name.lowercased().hasSuffix(".bin.index.json")
  }
}
