package import Checkpoints
import Kernels
package import Models

extension Checkpoint {
  /// Writes a packed container with the same contents except for some values.
  ///
  /// - Parameters:
  ///   - path: The file to make.
  ///   - added: Tensors of floats to append, all zeros before `edit`.
  ///   - edit: Gets the name and the values of each tensor of floats.
  /// - Returns: The copy, open.
  /// - Throws: `FormatError` when it cannot be written.
  package func copy(
    to path: String, adding added: [TensorInfo] = [],
    editing edit: (String, inout [Float]) -> Void = { _, _ in }
  ) throws -> Checkpoint {
    var contents = contents
    contents.tensors += added
    let writer = try ContainerWriter(contents, path: path)
    for tensor in contents.tensors {
      var bytes = TensorBytes([UInt8](repeating: 0, count: tensor.byteCount))
      if self.tensor(named: tensor.name) != nil { bytes = try self.bytes(of: tensor.name) }
      if let format = FloatFormat(tensor.dtype) {
        var values = bytes.withSpan { widened($0, from: format) }
        edit(tensor.name, &values)
        bytes = TensorBytes(values, as: tensor.dtype)
      }
      try bytes.withSpan { try writer.write(tensor, $0) }
    }
    for asset in contents.assets {
      guard let bytes = try self.asset(named: asset.name) else { continue }
      try bytes.withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: path)
  }

  /// The bytes of a tensor in memory.
  package func copiedBytes(of name: String) throws -> [UInt8] {
    try bytes(of: name).withSpan { $0.copiedBytes() }
  }

  /// The bytes of an asset in memory, or nil when there is none of that name.
  package func copiedAsset(named name: String) throws -> [UInt8]? {
    try asset(named: name)?.withSpan { $0.copiedBytes() }
  }

  /// The logits of a sequence, `[tokens, vocabulary]`.
  package func logits(_ tokens: [Int32], rounding: InputRounding = .f32) throws -> [Float] {
    var model = try Transformer(self)
    model.inputRounding = rounding
    let rotary = model.rotaryTables(positions: tokens.count)
    return model.logits(try model.finalHidden(tokens, rotary: rotary)).values
  }
}

/// A sequence of different tokens of the fixture's vocabulary.
package let sampleTokens: [Int32] = (0..<48).map { 2 + $0 * 37 % 1000 }
