import Checkpoints
import Kernels
import Models

/// Stores merged tables and records their loss.
struct MergedTables {
  /// The dtype of scales and biases; nil keeps their dtypes.
  let dtype: DType?

  /// Returns the description of a module's tensor after merging.
  func merged(_ tensor: TensorInfo) -> TensorInfo {
    guard let dtype, [.scales, .biases].contains(ModuleTensor.part(of: tensor.name)) else { return tensor }
    return TensorInfo(name: tensor.name, dtype: dtype, shape: tensor.shape)
  }

  /// Returns codes, and tables in their stored type; records the rounding error.
  func stored(
    _ packed: PackedWeight, _ parts: MergeParts, summary: inout MergeSummary
  ) throws -> [TensorBytes] {
    func store(_ values: [Float], _ kind: ModuleTensor, steps: [Float]) throws -> TensorBytes {
      let tensor = merged(try parts.own(kind))
      guard let format = FloatFormat(tensor.dtype) else { preconditionFailure("a table of no float type") }
      let bytes = narrowed(values, to: format)
      try summary.addTable(values, stored: bytes, format, steps: steps, name: tensor.name)
      return TensorBytes(bytes)
    }
    if let blocks = packed.blocks {
      let factors = blocks.factors
      let codes = packed.layout.storedCodes(packed.codes)
      return [
        codes, TensorBytes(blocks.stepBytes), try store(factors, .blockFactors, steps: factors),
      ]
    }
    let scales = try store(packed.scales, .scales, steps: packed.scales)
    if let zeroPoints = packed.zeroPoints {
      return [packed.codes, scales] + (zeroPoints.isStored ? [TensorBytes(zeroPoints.bytes)] : [])
    }
    return [packed.codes, scales, try store(packed.biases, .biases, steps: packed.scales)]
  }

  /// Quantizes a weight again with the same packing.
  ///
  /// - Parameters:
  ///   - weight: The weight, for its shape.
  ///   - packed: The packed form, which gives bits and groups.
  ///   - parts: The module's tensors.
  ///   - summary: Records the loss.
  ///   - read: Writes some rows of the new weight.
  /// - Returns: Codes, scales and biases.
  /// - Throws: `PassError.notFinite` at the first NaN or infinity.
  func requantized(
    _ weight: Weight, _ packed: PackedWeight, _ parts: MergeParts, summary: inout MergeSummary,
    _ read: @Sendable (Range<Int>, inout MutableSpan<Float>) -> Void
  ) throws -> [TensorBytes] {
    let grid = QuantizationGrid(packed.layout, tables: .f32)
    let quantizer = RoundToNearest(grid: grid)
    let result = try quantizer.quantize(
      rows: weight.rowCount, columns: weight.columnCount, name: parts.module + ".weight", read)
    summary.addRequantized(result)
    return try stored(PackedWeight(result, on: grid), parts, summary: &summary)
  }
}

extension PackedWeight {
  /// Adds `scaling · (B · A) / pool` to the biases; each bias is rounded once.
  ///
  /// - Parameters:
  ///   - loraA: `[rank, columns / pool]`.
  ///   - loraB: `[rows, rank]`.
  ///   - scaling: The factor of the product.
  ///   - pool: The number of columns per mean.
  ///   - module: The name for errors.
  /// - Returns: The squared norm of the added values, over all columns.
  /// - Throws: `PassError.notExact` when a pool is not a multiple of a group.
  @discardableResult
  mutating func addPooled(
    _ loraA: Matrix, _ loraB: Matrix, scaling: Double, pool: Int, module: String
  ) throws -> Double {
    try Self.checkPool(pool, layout: layout, module: module)
    let groupsPerPool = pool / groupSize
    let (rank, poolCount) = (loraA.rowCount, loraA.columnCount)
    let groupCount = poolCount * groupsPerPool
    var squares = 0.0
    var biases = biases
    for row in 0..<loraB.rowCount {
      for index in 0..<poolCount {
        var update = 0.0
        for r in 0..<rank {
          update += Double(loraB.values[row * rank + r]) * Double(loraA.values[r * poolCount + index])
        }
        update *= scaling / Double(pool)
        squares += update * update * Double(pool)
        for group in index * groupsPerPool..<(index + 1) * groupsPerPool {
          let bias = row * groupCount + group
          biases[bias] = Float(Double(biases[bias]) + update)
        }
      }
    }
    replaceTables(scales: nil, biases: biases)
    return squares
  }

  /// Checks that a pooled adapter can be merged into tables.
  ///
  /// - Throws: `PassError.notExact` with both sizes.
  static func checkPool(_ pool: Int, layout: QuantizedLayout, module: String) throws {
    if let blocks = layout.superBlock {
      throw PassError.notExact(
        "module '\(module)': a pooled adapter cannot be merged into the tables of \(blocks.rawValue), which are "
          + "small integers; train 'scale' and 'bias' instead")
    }
    if let grid = layout.zeroPointGrid {
      throw PassError.notExact(
        "module '\(module)': a pooled adapter cannot be merged into the tables of \(grid.rawValue), whose biases "
          + "are multiples of the scales; train 'scale' instead")
    }
    let groupSize = layout.groupSize
    guard pool % groupSize == 0 else {
      throw PassError.notExact(
        "module '\(module)': an adapter over groups of \(pool) cannot be merged into tables over groups of "
          + "\(groupSize); the former must be a multiple of the latter")
    }
  }
}
