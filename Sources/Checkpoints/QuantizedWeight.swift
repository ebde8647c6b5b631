/// A quantized weight of a checkpoint: codes where they are stored, except points of a lattice; tables as
/// floats.
package struct QuantizedWeight: Sendable {
  /// How it is laid out.
  package let layout: QuantizedLayout
  /// The output features.
  package let rowCount: Int
  /// The input features.
  package let columnCount: Int
  /// The codes of all rows, `QuantizedLayout.codeBits` wide.
  package let codes: TensorBytes
  /// `[out, groups]`; with the codes and the biases it gives the weights exactly.
  package let scales: [Float]
  /// `[out, groups]`.
  package let biases: [Float]
  /// What the tables are made of in super-blocks; nil in other layouts.
  package let blocks: BlockTables?
  /// The zero points that the biases follow from; nil in other layouts.
  package let zeroPoints: ZeroPoints?
}

extension Checkpoint {
  /// Reads the quantized weight of a module, without trained changes.
  ///
  /// - Parameter module: The module's name.
  /// - Returns: Nil when the module is not quantized.
  /// - Throws: `FormatError` when a tensor is missing, damaged, or not what the layout says.
  package func quantizedWeight(of module: String) throws -> QuantizedWeight? {
    guard let layout = contents.quantization[module] else { return nil }
    let name = ModuleTensor.weight.name(of: module)
    guard let stored = tensor(named: name) else { throw FormatError(path, .missing("tensor '\(name)'")) }
    try layout.validate(module, path: path) { self.tensor(named: $0) }
    let shape = layout.shape(ofStored: stored)
    func weight(
      _ scales: [Float], _ biases: [Float], blocks: BlockTables? = nil, zeroPoints: ZeroPoints? = nil
    ) throws -> QuantizedWeight {
      QuantizedWeight(
        layout: layout, rowCount: shape[0], columnCount: shape[1],
        codes: layout.codes(ofStored: try bytes(of: name)),
        scales: scales, biases: biases, blocks: blocks, zeroPoints: zeroPoints)
    }
    func table(_ kind: ModuleTensor) throws -> [Float] { try floats(of: kind.name(of: module)) }
    switch layout {
    case .affine: return try weight(table(.scales), table(.biases))
    case .zeroPoint:
      let scales = try table(.scales)
      let zeroPoints = try zeroPoints(of: module, layout, rows: shape[0], columns: shape[1])
      return try weight(scales, zeroPoints.biases(of: scales), zeroPoints: zeroPoints)
    case .superBlock(let kind):
      let factors = try table(.blockFactors)
      let blocks = try bytes(of: ModuleTensor.blockSteps.name(of: module)).withSpan {
        BlockTables(kind: kind, steps: $0, factors: factors)
      }
      return try weight(blocks.scales, blocks.biases, blocks: blocks)
    }
  }

  /// Reads the zero points of a module.
  ///
  /// - Parameters:
  ///   - module: The module's name.
  ///   - layout: Its layout, which has zero points.
  ///   - rows: The output features.
  ///   - columns: The input features.
  /// - Returns: Those of all groups, also when the grid stores none.
  /// - Throws: `FormatError` with the first one that the grid does not have.
  func zeroPoints(
    of module: String, _ layout: QuantizedLayout, rows: Int, columns: Int
  ) throws -> ZeroPoints {
    guard case .zeroPoint(let grid, let bits, let groupSize) = layout else {
      preconditionFailure("module '\(module)' has no zero points")
    }
    let groups = columns / groupSize
    guard grid != .symmetric else { return ZeroPoints(symmetric: bits, groupsPerRow: groups, rows: rows) }
    let name = ModuleTensor.zeroPoints.name(of: module)
    let zeroPoints = try bytes(of: name).withSpan {
      ZeroPoints(stored: $0, grid: grid, bits: bits, groupsPerRow: groups)
    }
    let range = grid.range(bits: bits)
    if let index = zeroPoints.values.firstIndex(where: { !range.contains(Int($0)) }) {
      throw FormatError(
        path, at: "tensor '\(name)'",
        .malformed(
          "row \(index / groups), group \(index % groups) has \(zeroPoints.values[index]), which the grid "
            + "'\(grid.rawValue)' does not have"))
    }
    return zeroPoints
  }
}
