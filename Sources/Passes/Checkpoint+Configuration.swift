import Checkpoints

extension Checkpoint {
  /// The name of the file that describes the model.
  static var configurationName: String { "config.json" }

  /// Reads the document that describes the model; `null` when the checkpoint has none.
  ///
  /// - Throws: `FormatError` with the byte offset when the document is not JSON.
  func configuration() throws -> JSONValue {
    guard let asset = try asset(named: Self.configurationName) else { return .null }
    return try asset.withSpan { bytes in
      do throws(JSONError) {
        return try JSONValue(parsing: bytes)
      } catch {
        throw FormatError(
          FileSystem.join(path, Self.configurationName), byte: error.byteOffset, .malformed(error.reason))
      }
    }
  }
}

extension PassPlan {
  /// Replaces the contents of a file that is not weights.
  mutating func replaceAsset(named name: String, with document: JSONValue) {
    let text = Array((document.prettyText + "\n").utf8)
    contents.assets = contents.assets.map {
      $0.name == name ? Asset(name: name, byteCount: text.count) : $0
    }
    assets[name] = TensorBytes(text)
  }
}
