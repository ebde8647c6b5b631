/// The few lines of text that Git LFS leaves in place of a file that was not downloaded.
enum GitPointer {
  private static let start: StaticString = "version https://git-lfs.github.com/"
  /// Pointers are smaller, according to the specification of Git LFS.
  static let byteLimit = 1024

  /// Whether a file is a pointer.
  ///
  /// - Parameter bytes: The file, or its first 64 bytes or more.
  /// - Returns: Whether it begins like a pointer.
  static func isPointer(_ bytes: RawSpan) -> Bool { bytes.starts(with: start) }

  /// Refuses a pointer.
  ///
  /// - Parameters:
  ///   - bytes: The file, or its first 64 bytes or more.
  ///   - path: The path for errors.
  /// - Throws: `FormatError.unsupported` with the remedy.
  static func refuse(_ bytes: RawSpan, path: String) throws(FormatError) {
    guard isPointer(bytes) else { return }
    throw FormatError(path, .unsupported("is a Git LFS pointer; 'git lfs pull' fetches the file itself"))
  }

  /// Refuses a pointer at a path; opens only files that are small enough.
  ///
  /// - Throws: `FormatError`, also when the file cannot be read.
  static func refuse(at path: String, byteCount: Int) throws {
    guard byteCount < byteLimit else { return }
    try InputFile(path: path, access: .read).withBytes(in: 0..<byteCount) { bytes throws(FormatError) in
      try refuse(bytes, path: path)
    }
  }
}

extension Checkpoint {
  /// Refuses a checkpoint with a file other than weights that was not downloaded.
  ///
  /// Weights are checked when the checkpoint is opened.
  ///
  /// - Throws: `FormatError` with the file.
  package func requireWholeAssets() throws {
    for asset in contents.assets where asset.byteCount < GitPointer.byteLimit {
      guard let bytes = try self.asset(named: asset.name) else { continue }
      try bytes.withSpan { span throws(FormatError) in
        try GitPointer.refuse(span, path: FileSystem.join(path, asset.name))
      }
    }
  }
}
