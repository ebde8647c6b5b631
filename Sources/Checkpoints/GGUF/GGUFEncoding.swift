import Kernels

/// How the rows of a matrix become rows of a GGUF tensor; `Formats/gguf.md` has the bytes of the blocks.
package struct GGUFEncoding: Sendable, Equatable {
  /// The type of the tensor: F32, F16, BF16, Q8_0, Q4_1 or Q2_0, and if codes are kept also Q4_0, Q5_0,
  /// Q5_1, Q2_K, Q3_K or Q4_K.
  package let type: GGUFTensorType
  /// Whether codes and tables are taken over unchanged instead of being computed from the values.
  package let keepsCodes: Bool

  /// Describes an encoding.
  package init(type: GGUFTensorType, keepsCodes: Bool) {
    self.type = type
    self.keepsCodes = keepsCodes
  }

  /// Few enough rows to spread two matrices over the threads, and enough to be worth a thread.
  private static let rowsPerChunk = 16

  /// The size of a row whose columns are whole blocks.
  package func rowByteCount(columnCount: Int) -> Int {
    columnCount / type.blockElementCount * type.blockByteCount
  }

  /// The bytes of the tensor.
  package func encoded(_ rows: GGUFEncodingRows, order: GGUFRowOrder) -> [UInt8] {
    let rowByteCount = rowByteCount(columnCount: rows.columnCount)
    var bytes = [UInt8](repeating: 0, count: rows.rowCount * rowByteCount)
    guard !bytes.isEmpty else { return bytes }
    var span = bytes.mutableSpan
    parallelRows(of: &span, columnCount: rowByteCount, rowsPerChunk: Self.rowsPerChunk) { range, part in
      var values = [Float](repeating: 0, count: rows.columnCount)
      for (i, row) in range.enumerated() {
        var target = part.slice(i * rowByteCount..<(i + 1) * rowByteCount)
        encode(rows, row: order.source(of: row), into: &target, scratch: &values)
      }
    }
    return bytes
  }

  private func encode(
    _ rows: GGUFEncodingRows, row: Int, into bytes: inout MutableSpan<UInt8>, scratch: inout [Float]
  ) {
    if keepsCodes, case .packed(let codes, let layout, let scales, let biases) = rows.storage {
      let groups = rows.groups(ofRow: row, layout)
      codes.withSpan { all in
        takeOver(
          all.extracting(rows.byteRange(ofRow: row, of: all)), layout, scales.span.extracting(groups),
          biases.span.extracting(groups), columnOrder: rows.columnOrder, into: &bytes)
      }
    } else if keepsCodes, case .superBlocks(let kind, let tensors) = rows.storage {
      for (part, tensor) in zip(QuantizedLayout.superBlock(kind).partKinds, tensors) {
        tensor.withSpan { all in
          GGUFSuperBlock(kind).write(
            part, all.extracting(rows.byteRange(ofRow: row, of: all)), order: rows.columnOrder, into: &bytes)
        }
      }
    } else if case .dense(let stored, let format) = rows.storage, type.dtype == format.dtype {
      // Copied, because widening would make NaNs quiet.
      stored.withSpan { all in
        let start = rows.byteRange(ofRow: row, of: all).lowerBound
        guard rows.columnOrder != .plain else {
          for i in bytes.indices { bytes[i] = all.byte(at: start + i) }
          return
        }
        let width = format.byteWidth
        for i in bytes.indices {
          let (column, byte) = i.quotientAndRemainder(dividingBy: width)
          bytes[i] = all.byte(at: start + rows.columnOrder.source(of: column) * width + byte)
        }
      }
    } else {
      var values = scratch.mutableSpan
      rows.readValues(ofRow: row, into: &values)
      round(scratch.span, into: &bytes)
    }
  }

  /// The differences between the encoded and the original values of a matrix.
  ///
  /// - Parameter rows: The matrix.
  /// - Returns: The largest and the mean absolute difference; nil when a value is not finite.
  package func loss(of rows: GGUFEncodingRows) -> GGUFEncodingLoss? {
    let rowByteCount = rowByteCount(columnCount: rows.columnCount)
    let chunkCount = (rows.rowCount + Self.rowsPerChunk - 1) / Self.rowsPerChunk
    let parts = parallelMap(chunkCount) { chunk in
      var loss = GGUFEncodingLoss()
      var bytes = [UInt8](repeating: 0, count: rowByteCount)
      var values = [Float](repeating: 0, count: rows.columnCount)
      var scratch = values
      for row in chunk * Self.rowsPerChunk..<min(rows.rowCount, (chunk + 1) * Self.rowsPerChunk) {
        var target = bytes.mutableSpan
        encode(rows, row: row, into: &target, scratch: &scratch)
        var span = values.mutableSpan
        rows.readValues(ofRow: row, into: &span)
        loss.add(values.span, decoded(bytes, columnCount: rows.columnCount).span)
      }
      return loss
    }
    let total = parts.reduce(GGUFEncodingLoss()) { $0.adding($1) }
    return total.maximum.isFinite ? total : nil
  }
}

/// The differences between encoded and original values.
package struct GGUFEncodingLoss: Sendable, Equatable {
  /// The largest absolute difference; infinite when a value is not finite.
  package private(set) var maximum = 0.0
  private var sum = 0.0
  private var count = 0

  /// The mean absolute difference.
  package var mean: Double { sum / Double(max(count, 1)) }

  mutating func add(_ values: Span<Float>, _ decoded: Span<Float>) {
    for i in values.indices {
      let difference = Double((values[i] - decoded[i]).magnitude)
      // Not `max`, which could hide a difference that is NaN.
      maximum = difference <= maximum ? maximum : difference.isFinite ? difference : .infinity
      sum += difference
    }
    count += values.count
  }

  func adding(_ other: GGUFEncodingLoss) -> GGUFEncodingLoss {
    var total = self
    total.maximum = max(maximum, other.maximum)
    total.sum += other.sum
    total.count += other.count
    return total
  }
}
