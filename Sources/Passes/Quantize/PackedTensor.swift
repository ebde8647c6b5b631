package import Checkpoints
import Kernels
import Models

/// The codes and tables of one weight, and their error.
package struct PackedTensor: Sendable {
  /// Packed codes, row by row.
  package var codes: [UInt8]
  /// `[rows, columns / groupSize]`.
  package var scales: [Float]
  /// `[rows, columns / groupSize]`.
  package var biases: [Float]
  /// What the tables of super-blocks are made of; nil in other layouts.
  package private(set) var blocks: BlockTables?
  /// The zero points that the biases follow from; nil in other layouts.
  package private(set) var zeroPoints: ZeroPoints?
  /// The sum of squared differences to the weight.
  package var squaredError = 0.0
  /// The sum of squared weights.
  package var squaredNorm = 0.0
  /// The number of weights whose error was measured.
  package private(set) var weightCount = 0
  /// The squared error of the outputs; nil when it is not known for all rows.
  package var outputSquares: OutputSquares?

  package init(codes: [UInt8] = [], scales: [Float] = [], biases: [Float] = []) {
    self.codes = codes
    self.scales = scales
    self.biases = biases
  }

  /// Joins codes with the tables of super-blocks.
  package init(codes: [UInt8], blocks: BlockTables) {
    self.init(codes: codes, scales: blocks.scales, biases: blocks.biases)
    self.blocks = blocks
  }

  /// Joins codes with tables.
  init(codes: [UInt8], _ tables: GroupTables) {
    self.init(codes: codes, scales: tables.scales, biases: tables.biases)
    blocks = tables.blocks
    zeroPoints = tables.zeroPoints
  }

  /// The tables.
  var tables: GroupTables {
    if let blocks { return GroupTables(blocks) }
    return zeroPoints.map { GroupTables(scales: scales, $0) } ?? GroupTables(scales: scales, biases: biases)
  }

  /// Replaces the tables by scales with zero points.
  package mutating func setTables(scales: [Float], _ zeroPoints: ZeroPoints) {
    replaceTables(by: GroupTables(scales: scales, zeroPoints))
  }

  /// Replaces the tables.
  mutating func replaceTables(by tables: GroupTables) {
    (scales, biases) = (tables.scales, tables.biases)
    (blocks, zeroPoints) = (tables.blocks, tables.zeroPoints)
  }
}

/// The scale and bias of each group of some rows, `[rows, groups]`, as they are stored.
package struct GroupTables: Sendable {
  package var scales: [Float]
  package var biases: [Float]
  /// What those of super-blocks are made of; nil in other layouts.
  package var blocks: BlockTables?
  /// The zero points that the biases follow from; nil in other layouts.
  package var zeroPoints: ZeroPoints?

  /// Tables that are free.
  init(scales: [Float], biases: [Float]) {
    self.scales = scales
    self.biases = biases
  }

  /// Scales with zero points.
  init(scales: [Float], _ zeroPoints: ZeroPoints) {
    self.init(scales: scales, biases: zeroPoints.biases(of: scales))
    self.zeroPoints = zeroPoints
  }

  /// The tables of super-blocks.
  init(_ blocks: BlockTables) {
    (scales, biases) = (blocks.scales, blocks.biases)
    self.blocks = blocks
  }
}

extension PackedWeight {
  /// Takes over the codes and tables of a quantizer.
  init(_ packed: PackedTensor, on grid: QuantizationGrid) {
    if let blocks = packed.blocks {
      self.init(codes: TensorBytes(packed.codes), blocks: blocks)
    } else if let zeroPoints = packed.zeroPoints {
      self.init(
        codes: TensorBytes(packed.codes), groupSize: grid.groupSize, scales: packed.scales,
        zeroPoints: zeroPoints)
    } else {
      self.init(
        codes: TensorBytes(packed.codes), bits: grid.bits, groupSize: grid.groupSize, scales: packed.scales,
        biases: packed.biases)
    }
  }
}

/// What a linear's outputs differ from those of its original, over all outputs: `trace((Wq - W) · S · (Wq -
/// W)ᵀ)` and `trace(W · S · Wᵀ)`.
package struct OutputSquares: Sendable, Equatable {
  /// The sum of the mean squared differences.
  package var error = 0.0
  /// The sum of the mean squared outputs of the original.
  package var norm = 0.0
}

extension PackedTensor {
  /// Records the squared difference to the weights, and their squared norm.
  mutating func measure(against weights: [Float], bits: Int, groupSize: Int, columns: Int) {
    let squares = squares(against: weights, bits: bits, groupSize: groupSize, columns: columns)
    squaredError += squares.error
    squaredNorm += squares.norm
    weightCount += weights.count
  }

  private func squares(
    against weights: [Float], bits: Int, groupSize: Int, columns: Int
  ) -> (error: Double, norm: Double) {
    let packed = codes.span
    return packedSquares(
      weights.span, codes: unsafe packed.bytes, bits: bits, groupSize: groupSize, columnCount: columns,
      scales: scales.span, biases: biases.span)
  }

  /// The measurements without codes and tables.
  var withoutValues: PackedTensor {
    var copy = self
    (copy.codes, copy.scales, copy.biases) = ([], [], [])
    (copy.blocks, copy.zeroPoints) = (nil, nil)
    return copy
  }

  /// Appends the following rows.
  mutating func append(_ part: PackedTensor) {
    if codes.isEmpty {
      outputSquares = part.outputSquares
      blocks = part.blocks
      zeroPoints = part.zeroPoints
    } else if let own = outputSquares, let other = part.outputSquares {
      outputSquares = OutputSquares(error: own.error + other.error, norm: own.norm + other.norm)
    } else {
      outputSquares = nil
    }
    if !codes.isEmpty {
      if let other = part.blocks { blocks?.append(other) }
      if let other = part.zeroPoints { zeroPoints?.append(other) }
    }
    codes += part.codes
    scales += part.scales
    biases += part.biases
    squaredError += part.squaredError
    squaredNorm += part.squaredNorm
    weightCount += part.weightCount
  }
}
