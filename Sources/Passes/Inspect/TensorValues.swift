import Checkpoints
import Kernels
import Models

/// The values of a tensor, read block by block; packed weights are dequantized.
///
/// Adapters and trained changes of tables are separate tensors and not applied.
struct TensorValues: Sendable {
  private enum Source: Sendable {
    case dense(TensorBytes, DType, ElementDecoder)
    case packed(Weight)
  }

  /// The number of values per block if rows can be split.
  private static let blockCount = 1 << 16
  /// Far above the columns of any known layer; a block has at least one row.
  private static let columnLimit = 1 << 22

  /// The number of values.
  let count: Int
  private let source: Source

  /// Opens a tensor.
  ///
  /// - Throws: `FormatError` when the tensor is damaged, or its packing is not supported.
  init(_ tensor: LogicalTensor, in checkpoint: Checkpoint) throws {
    guard let packing = tensor.packing else {
      let bytes = try checkpoint.bytes(of: tensor.name)
      let decoder = ElementDecoder(tensor.stored.dtype)
      source = .dense(bytes, tensor.stored.dtype, decoder)
      count = bytes.count * 8 / decoder.bitWidth
      return
    }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    guard packing.layout.isComputed, columns <= Self.columnLimit else {
      throw FormatError(
        checkpoint.path, at: "module '\(packing.module)'",
        .unsupported("groups of \(packing.layout.groupSize) in rows of \(columns) are not computed with"))
    }
    guard let weight = try checkpoint.quantizedWeight(of: packing.module) else {
      preconditionFailure("module '\(packing.module)' has a layout")
    }
    source = .packed(Weight(rows: rows, columns: columns, values: .packed(PackedWeight(weight))))
    count = rows * columns
  }

  private var columnCount: Int? {
    guard case .packed(let weight) = source else { return nil }
    return weight.columnCount
  }

  /// Splits the values into blocks that fit this tensor and another one of the same shape.
  func blocks(with other: TensorValues? = nil) -> [Range<Int>] {
    var blockCount = Self.blockCount
    if let columns = columnCount ?? other?.columnCount {
      // A multiple of 8 rows begins at a whole byte for every dtype.
      blockCount = max(8, Self.blockCount / max(columns, 1) / 8 * 8) * columns
    }
    guard count > 0 else { return [] }
    return stride(from: 0, to: count, by: blockCount).map { $0..<min(count, $0 + blockCount) }
  }

  /// Returns the values of a block.
  func values(in range: Range<Int>) -> [Double] {
    switch source {
    case .dense(let bytes, _, let decoder):
      let part = range.lowerBound * decoder.bitWidth / 8..<range.upperBound * decoder.bitWidth / 8
      return bytes.withSpan { decoder.values(of: $0.extracting(part)) }
    case .packed(let weight):
      let columns = weight.columnCount
      var values = [Float](repeating: 0, count: range.count)
      var span = values.mutableSpan
      weight.unpack(
        rows: range.lowerBound / columns..<range.upperBound / columns, columns: 0..<columns, into: &span)
      return values.map(Double.init)
    }
  }

  /// Whether both hold the same bytes in the same form, so that all values are equal.
  func isIdentical(to other: TensorValues) -> Bool {
    switch (source, other.source) {
    case (.dense(let first, let dtype, _), .dense(let second, let otherDType, _)):
      dtype == otherDType && first.isEqual(to: second)
    case (.packed(let first), .packed(let second)): first.isIdentical(to: second)
    case (.dense, .packed), (.packed, .dense): false
    }
  }
}

extension Weight {
  /// Whether both are packed alike, with the same codes and tables bit for bit.
  fileprivate func isIdentical(to other: Weight) -> Bool {
    guard let first = packed, let second = other.packed, columnCount == other.columnCount,
      first.bits == second.bits, first.groupSize == second.groupSize
    else { return false }
    return first.codes.isEqual(to: second.codes) && first.scales.hasSameBits(as: second.scales)
      && first.biases.hasSameBits(as: second.biases)
  }
}

extension TensorBytes {
  fileprivate func isEqual(to other: TensorBytes) -> Bool {
    withSpan { first in other.withSpan { second in first.isEqual(to: second) } }
  }
}

extension [Float] {
  /// Whether both have the same values, telling zeros of different sign and NaNs apart.
  fileprivate func hasSameBits(as other: [Float]) -> Bool {
    unsafe span.bytes.isEqual(to: other.span.bytes)
  }
}
