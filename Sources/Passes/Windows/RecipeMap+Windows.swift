extension RecipeMap {
  /// How many windows the model writes: as many as `sampled` says, all of them where `text` is an empty list.
  ///
  /// - Parameters:
  ///   - samples: The windows altogether.
  ///   - texts: What `text` says.
  ///   - count: What holds without `sampled`.
  /// - Returns: The windows that the model writes.
  /// - Throws: `PassError.recipe` when it is no number, or more than there are.
  func sampled(of samples: Int, texts: [PathOption], default count: Int) throws -> Int {
    guard texts.isEmpty, has("text") else {
      return try value("sampled", default: count) { try $0.integer(in: 0...samples) }
    }
    _ = try value("sampled", default: count) { try $0.integer(in: 0...Int.max) }
    return samples
  }
}
