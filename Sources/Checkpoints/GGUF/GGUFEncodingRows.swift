package import Kernels

/// The rows of a matrix that goes into a GGUF file: dense values, or codes with their tables.
package struct GGUFEncodingRows: Sendable {
  /// How the values are stored in the checkpoint.
  package enum Storage: Sendable {
    case dense(TensorBytes, FloatFormat)
    case packed(codes: TensorBytes, QuantizedLayout, scales: [Float], biases: [Float])
    /// The tensors are those of `QuantizedLayout.partKinds`, in that order.
    case superBlocks(SuperBlock, [TensorBytes])
  }

  /// The rows.
  package let rowCount: Int
  /// The number of values in a row, more than 0.
  package let columnCount: Int
  /// The values.
  package let storage: Storage
  /// The order of the columns in the file.
  let columnOrder: GGUFRowOrder

  /// Describes a matrix.
  package init(
    rowCount: Int, columnCount: Int, storage: Storage, columnOrder: GGUFRowOrder = .plain
  ) {
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.storage = storage
    self.columnOrder = columnOrder
  }

  /// Computes the values of a row in the order of the file; codes are computed like in `dequantize`.
  func readValues(ofRow row: Int, into values: inout MutableSpan<Float>) {
    readStoredValues(ofRow: row, into: &values)
    guard columnOrder != .plain else { return }
    let stored = values.indices.map { values[$0] }
    for i in values.indices { values[i] = stored[columnOrder.source(of: i)] }
  }

  /// Computes the values of a row in the order of the checkpoint.
  private func readStoredValues(ofRow row: Int, into values: inout MutableSpan<Float>) {
    switch storage {
    case .dense(let bytes, let format):
      bytes.withSpan { bytes in
        widen(bytes.extracting(byteRange(ofRow: row, of: bytes)), from: format, into: &values)
      }
    case .packed(let codes, let layout, let scales, let biases):
      let groups = groups(ofRow: row, layout)
      codes.withSpan { bytes in
        layout.decode(
          codes: bytes.extracting(byteRange(ofRow: row, of: bytes)), scales: scales.span.extracting(groups),
          biases: biases.span.extracting(groups), columnCount: columnCount, into: &values)
      }
    case .superBlocks(let kind, let tensors):
      let factors = tensors[2].withSpan {
        widened($0.extracting(byteRange(ofRow: row, of: $0)), from: .f16)
      }
      let tables = tensors[1].withSpan {
        BlockTables(kind: kind, steps: $0.extracting(byteRange(ofRow: row, of: $0)), factors: factors)
      }
      let layout = QuantizedLayout.superBlock(kind)
      let stored = tensors[0].withSpan { byteRange(ofRow: row, of: $0) }
      layout.codes(ofStored: tensors[0].slice(stored)).withSpan { codes in
        layout.decode(
          codes: codes, scales: tables.scales.span, biases: tables.biases.span, columnCount: columnCount,
          into: &values)
      }
    }
  }

  /// The range of a row's entries in the tables.
  func groups(ofRow row: Int, _ layout: QuantizedLayout) -> Range<Int> {
    let count = columnCount / layout.groupSize
    return row * count..<(row + 1) * count
  }

  /// The range of a row's stored bytes in the bytes of all rows.
  func byteRange(ofRow row: Int, of bytes: RawSpan) -> Range<Int> {
    let byteCount = bytes.byteCount / rowCount
    return row * byteCount..<(row + 1) * byteCount
  }
}
