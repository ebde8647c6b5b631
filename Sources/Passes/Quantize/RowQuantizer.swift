package import Checkpoints
package import Kernels

/// The grid that weights are rounded to.
package struct QuantizationGrid: Sendable, Equatable {
  /// The rows that a thread quantizes at once.
  ///
  /// Every row of S is read once for them. Fewer rows would make memory the limit, more rows would leave too
  /// few chunks for many threads.
  static let rowsPerChunk = 64
  /// The number of bits per code, as it is in memory.
  package var bits: Int { layout.codeBits }
  /// The number of columns that share a scale and a bias.
  package var groupSize: Int { layout.groupSize }
  /// How codes and tables are stored.
  package let layout: QuantizedLayout
  /// The stored format of free scales and biases; they are rounded to it before codes are chosen.
  package let tables: FloatFormat

  /// A grid of a layout, whose free tables have a format.
  package init(_ layout: QuantizedLayout, tables: FloatFormat) {
    self.layout = layout
    self.tables = tables
  }

  /// A grid with free tables.
  package init(bits: Int, groupSize: Int, tables: FloatFormat) {
    self.init(QuantizedLayout(bits: bits, groupSize: groupSize), tables: tables)
  }

  /// The largest code.
  var top: Float { Float(1 << bits - 1) }

  /// Rounds values to the stored format.
  func stored(_ values: [Float]) -> [Float] {
    tables.rounded(values)
  }

  /// Returns the codes nearest to weights `[rows, columns]`, one code per byte.
  func nearestCodes(_ weights: [Float], _ tables: GroupTables, columns: Int) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: weights.count)
    var span = codes.mutableSpan
    roundToGrid(
      weights.span, bits: bits, groupSize: groupSize, columnCount: columns, scales: tables.scales.span,
      biases: tables.biases.span, codes: &span)
    return codes
  }

  /// Packs codes, one code per byte.
  func packed(_ codes: [UInt8]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: codes.count * bits / 8)
    var span = bytes.mutableSpan
    packCodes(codes.span, bits: bits, into: &span)
    return bytes
  }

  /// Unpacks codes to one code per byte.
  func unpacked(_ bytes: [UInt8]) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: bytes.count * 8 / bits)
    var span = codes.mutableSpan
    let packed = bytes.span
    unpackCodes(unsafe packed.bytes, bits: bits, into: &span)
    return codes
  }
}

/// A method that determines the codes and tables of a weight, each row independently.
package protocol RowQuantizer: Sendable {
  /// The grid of codes and tables.
  var grid: QuantizationGrid { get }

  /// Quantizes some rows.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`.
  ///   - columns: The number of input features; the group size divides it.
  /// - Returns: Codes and tables.
  /// - Throws: `UnusableWeight` for a value that is not finite.
  func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor
}

/// A weight that cannot be quantized, by its index among the rows.
package struct UnusableWeight: Error {
  let index: Int
}

extension RowQuantizer {
  /// Quantizes a weight in parallel chunks of rows.
  ///
  /// - Parameters:
  ///   - rows: The number of output features.
  ///   - columns: The number of input features; the group size divides it.
  ///   - name: The name for errors.
  ///   - correction: The matrix that the weight is multiplied by first, `[columns, columns]`; nil for none.
  ///   - read: Writes some rows of the weight, row-major.
  /// - Returns: Codes, tables and the error relative to the weight without correction.
  /// - Throws: `PassError.notFinite` with the first element that is NaN or infinite.
  package func quantize(
    rows: Int, columns: Int, name: String, correction: [Float]? = nil,
    _ read: @Sendable (Range<Int>, inout MutableSpan<Float>) -> Void
  ) throws -> PackedTensor {
    let chunkCount = (rows + QuantizationGrid.rowsPerChunk - 1) / QuantizationGrid.rowsPerChunk
    let parts = try parallelMap(chunkCount) { chunk in
      let range =
        chunk * QuantizationGrid.rowsPerChunk..<min((chunk + 1) * QuantizationGrid.rowsPerChunk, rows)
      var weights = Matrix.unspecified(rows: range.count, columns: columns)
      var span = weights.values.mutableSpan
      read(range, &span)
      do throws(UnusableWeight) {
        if correction != nil { try requireFinite(weights.values) }
        let corrected = correction.map { weights.times($0) } ?? weights
        var part = try quantizeRows(corrected.values, columns: columns)
        part.measure(against: weights.values, bits: grid.bits, groupSize: grid.groupSize, columns: columns)
        return part
      } catch {
        throw PassError.notFinite(tensor: name, index: range.lowerBound * columns + error.index)
      }
    }
    var whole = PackedTensor()
    for part in parts { whole.append(part) }
    return whole
  }

  /// Throws if a value is not finite.
  func requireFinite(_ weights: [Float]) throws(UnusableWeight) {
    if let index = weights.firstIndex(where: { !$0.isFinite }) { throw UnusableWeight(index: index) }
  }
}

extension Matrix {
  /// Multiplies by a square matrix.
  fileprivate func times(_ square: [Float]) -> Matrix {
    var product = Matrix.unspecified(rows: rowCount, columns: columnCount)
    var target = product.mutableView
    multiply(view, MatrixView(square.span, rows: columnCount, columns: columnCount), into: &target)
    return product
  }
}
