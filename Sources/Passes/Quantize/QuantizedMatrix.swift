public import Checkpoints
import Kernels

/// A matrix as packed codes with a scale and a bias per group, rounded to nearest in memory.
public struct QuantizedMatrix: Sendable {
  /// Bits and group size.
  public let layout: QuantizedLayout
  /// The number of rows.
  public let rowCount: Int
  /// The number of columns, a multiple of the group size.
  public let columnCount: Int
  /// The codes, packed as in `Formats/packed.md`.
  public let codes: [UInt8]
  /// `[rows, columns / groupSize]`.
  public let scales: [Float]
  /// `[rows, columns / groupSize]`.
  public let biases: [Float]
  /// The norm of the error, relative to the norm of the values.
  public let relativeError: Double

  /// Rounds a matrix.
  ///
  /// - Parameters:
  ///   - values: `[rows, columns]`, row-major, finite.
  ///   - rows: The number of rows.
  ///   - columns: The number of columns; the group size divides it.
  ///   - layout: Bits and group size, as allowed by `QuantizeOptions`.
  /// - Throws: `PassError.usage` for sizes that do not fit together, `.divisibility`, or `.notFinite` at the
  ///   first NaN or infinity.
  public init(
    rounding values: [Float], rows: Int, columns: Int,
    _ layout: QuantizedLayout = QuantizedLayout(bits: 2, groupSize: 64)
  ) throws {
    let (count, isTooLarge) = rows.multipliedReportingOverflow(by: columns)
    guard rows > 0, columns > 0, !isTooLarge, count == values.count else {
      throw PassError.usage("a matrix of \(rows) rows and \(columns) columns has not \(values.count) values")
    }
    guard layout.isFree, QuantizeOptions.allowedBits.contains(layout.bits),
      QuantizeOptions.allowedGroupSizes.contains(layout.groupSize)
    else {
      throw PassError.usage("\(layout.phrase) cannot be packed")
    }
    guard columns % layout.groupSize == 0 else {
      throw PassError.divisibility(
        tensor: "matrix", columns: columns, groupSize: layout.groupSize,
        fitting: QuantizeOptions.allowedGroupSizes.reversed().filter { columns % $0 == 0 })
    }
    let grid = QuantizationGrid(bits: layout.bits, groupSize: layout.groupSize, tables: .f32)
    let packed = try RoundToNearest(grid: grid).quantize(rows: rows, columns: columns, name: "matrix") {
      range, part in
      let start = range.lowerBound * columns
      for i in 0..<part.count { part[i] = values[start + i] }
    }
    self.layout = layout
    (rowCount, columnCount) = (rows, columns)
    (codes, scales, biases) = (packed.codes, packed.scales, packed.biases)
    relativeError = (packed.squaredError / max(packed.squaredNorm, .leastNormalMagnitude)).squareRoot()
  }

  /// Returns the tensors of the matrix as the weight of a module, with f32 tables.
  ///
  /// - Parameter module: The name without `.weight`.
  /// - Returns: Codes, scales and biases, in the order of a file.
  public func tensors(of module: String) -> [(info: TensorInfo, bytes: TensorBytes)] {
    let table = [rowCount, columnCount / layout.groupSize]
    let width = columnCount * layout.bits / 32
    return [
      (
        TensorInfo(name: ModuleTensor.weight.name(of: module), dtype: .u32, shape: [rowCount, width]),
        TensorBytes(codes)
      ),
      (
        TensorInfo(name: ModuleTensor.scales.name(of: module), dtype: .f32, shape: table),
        TensorBytes(floats: scales, as: .f32)
      ),
      (
        TensorInfo(name: ModuleTensor.biases.name(of: module), dtype: .f32, shape: table),
        TensorBytes(floats: biases, as: .f32)
      ),
    ]
  }
}
