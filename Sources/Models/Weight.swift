package import Checkpoints
package import Kernels

/// The matrix of a linear, dense or packed, unpacked to floats tile by tile.
package struct Weight: Sendable {
  /// The number of output features.
  package let rowCount: Int
  /// The number of input features.
  package let columnCount: Int
  /// The elements.
  package var values: Values

  /// How the elements are stored.
  package enum Values: Sendable {
    /// Row-major floats of one format.
    case dense(TensorBytes, FloatFormat)
    /// Codes with tables.
    case packed(PackedWeight)
  }

  /// Joins a shape with its elements.
  package init(rows rowCount: Int, columns columnCount: Int, values: Values) {
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.values = values
  }

  /// The packed form; nil if the weight is dense.
  package var packed: PackedWeight? {
    get {
      guard case .packed(let packed) = values else { return nil }
      return packed
    }
    set {
      guard let newValue else { preconditionFailure("a packed weight stays packed") }
      values = .packed(newValue)
    }
  }

  /// Tile boundaries must be multiples of this number of columns.
  package var columnGranularity: Int { packed?.groupSize ?? 1 }

  /// Unpacks a tile.
  ///
  /// - Parameters:
  ///   - rows: The rows of the tile.
  ///   - columns: The columns of the tile; both ends on a group's edge if the weight is packed.
  ///   - tile: Receives `[rows.count, columns.count]`.
  package func unpack(rows: Range<Int>, columns: Range<Int>, into tile: inout MutableSpan<Float>) {
    switch values {
    case .dense(let bytes, let format):
      bytes.withSpan { span in
        unpackDense(span, format, rows: rows, columns: columns, into: &tile)
      }
    case .packed(let packed):
      packed.unpack(rows: rows, columns: columns, of: columnCount, into: &tile)
    }
  }

  /// Returns some rows as floats, `[rows.count, columns]`.
  package func floats(rows: Range<Int>) -> [Float] {
    var values = [Float](repeating: 0, count: rows.count * columnCount)
    var span = values.mutableSpan
    unpack(rows: rows, columns: 0..<columnCount, into: &span)
    return values
  }

  private func unpackDense(
    _ bytes: RawSpan, _ format: FloatFormat, rows: Range<Int>, columns: Range<Int>,
    into tile: inout MutableSpan<Float>
  ) {
    let width = format.byteWidth
    if columns.count == columnCount {
      let start = rows.lowerBound * columnCount * width
      let part = bytes.extracting(start..<start + rows.count * columnCount * width)
      widen(part, from: format, into: &tile)
      return
    }
    for (i, row) in rows.enumerated() {
      let start = (row * columnCount + columns.lowerBound) * width
      var target = tile.slice(i * columns.count..<(i + 1) * columns.count)
      widen(bytes.extracting(start..<start + columns.count * width), from: format, into: &target)
    }
  }
}

/// Codes `[rows, columns]`, packed row by row, with a scale and a bias per group: `w = scale * q + bias`.
package struct PackedWeight: Sendable {
  /// A dense little-endian bit stream; each row takes whole bytes.
  package var codes: TensorBytes
  /// The number of bits per code.
  package let bits: Int
  /// The number of columns per group.
  package let groupSize: Int
  /// `[rows, columns / groupSize]`; empty after `keepSteps`.
  package private(set) var scales: [Float]
  /// `[rows, columns / groupSize]`; empty after `keepSteps`.
  package private(set) var biases: [Float]
  /// What the tables of super-blocks are made of; nil in other layouts.
  package private(set) var blocks: BlockTables?
  /// The zero points that the biases follow from; nil in other layouts.
  package private(set) var zeroPoints: ZeroPoints?
  /// The tables as bytes; nil until `keepSteps`.
  private(set) var steps: StepTables?

  /// Joins codes with free tables.
  package init(codes: TensorBytes, bits: Int, groupSize: Int, scales: [Float], biases: [Float]) {
    self.codes = codes
    self.bits = bits
    self.groupSize = groupSize
    self.scales = scales
    self.biases = biases
  }

  /// Joins codes with scales and zero points.
  package init(codes: TensorBytes, groupSize: Int, scales: [Float], zeroPoints: ZeroPoints) {
    self.init(
      codes: codes, bits: zeroPoints.bits, groupSize: groupSize, scales: scales,
      biases: zeroPoints.biases(of: scales))
    self.zeroPoints = zeroPoints
  }

  /// Joins codes with the tables of super-blocks.
  package init(codes: TensorBytes, blocks: BlockTables) {
    self.init(
      codes: codes, bits: blocks.kind.codeBits, groupSize: blocks.kind.groupSize, scales: blocks.scales,
      biases: blocks.biases)
    self.blocks = blocks
  }

  /// The codes, one in a byte, `[rows, columns]`.
  package var codeValues: [UInt8] {
    codes.withSpan { span in
      var values = [UInt8](repeating: 0, count: span.byteCount * 8 / bits)
      var target = values.mutableSpan
      unpackCodes(span, bits: bits, into: &target)
      return values
    }
  }

  /// Keeps the tables of `q2_k` blocks as bytes alone; does nothing in other layouts.
  ///
  /// They then take a fifth of what floats take. Products with single tokens read the bytes, others make floats of a
  /// tile's tables. The tables can no longer be replaced.
  mutating func keepSteps() {
    guard let blocks, blocks.kind == .q2K else { return }
    steps = StepTables(
      steps: blocks.stepBytes, scaleFactors: blocks.scaleFactors, biasFactors: blocks.biasFactors)
    self.blocks = nil
    (scales, biases) = ([], [])
  }

  /// Replaces the tables by those of super-blocks of the same type.
  package mutating func replaceTables(by blocks: BlockTables) {
    self.blocks = blocks
    (scales, biases) = (blocks.scales, blocks.biases)
  }

  /// Replaces scales and biases, nil for those that stay; biases that follow from scales do so.
  package mutating func replaceTables(scales newScales: [Float]?, biases newBiases: [Float]?) {
    precondition(blocks == nil && steps == nil, "the tables of super-blocks are made of others")
    if let newScales { scales = newScales }
    biases = zeroPoints?.biases(of: scales) ?? newBiases ?? biases
  }

  /// Takes over a packed weight of a checkpoint.
  package init(_ stored: QuantizedWeight) {
    self.init(
      codes: stored.codes, bits: stored.layout.codeBits, groupSize: stored.layout.groupSize,
      scales: stored.scales, biases: stored.biases)
    blocks = stored.blocks
    zeroPoints = stored.zeroPoints
  }

  /// How it is stored.
  package var layout: QuantizedLayout {
    if let blocks { return .superBlock(blocks.kind) }
    if steps != nil { return .superBlock(.q2K) }
    return zeroPoints.map { .zeroPoint($0.grid, bits: bits, groupSize: groupSize) }
      ?? .affine(bits: bits, groupSize: groupSize)
  }

  /// The byte range of the codes of some rows.
  package func codeRange(rows: Range<Int>, columnCount: Int) -> Range<Int> {
    let rowBytes = columnCount * bits / 8
    return rows.lowerBound * rowBytes..<rows.upperBound * rowBytes
  }

  fileprivate func unpack(
    rows: Range<Int>, columns: Range<Int>, of columnCount: Int, into tile: inout MutableSpan<Float>
  ) {
    withStored(rows, columns, of: columnCount) { codes, scales, biases, groups in
      layout.decode(
        codes: codes, scales: scales, biases: biases, columnCount: columnCount, groups: groups, into: &tile)
    }
  }

  /// Unpacks a tile as bf16, two bytes for each weight.
  ///
  /// - Parameters:
  ///   - rows: The rows of the tile.
  ///   - columns: The columns of the tile; both ends on a group's edge.
  ///   - columnCount: The columns of the weight.
  ///   - tile: Receives `[rows.count, columns.count]`.
  func unpackToBF16(
    rows: Range<Int>, columns: Range<Int>, of columnCount: Int, into tile: inout MutableSpan<UInt8>
  ) {
    withStored(rows, columns, of: columnCount) { codes, scales, biases, groups in
      layout.decodeToBF16(
        codes: codes, scales: scales, biases: biases, columnCount: columnCount, groups: groups, into: &tile)
    }
  }

  /// Lends codes and tables of some rows, and the groups of some columns; the tables of other columns may be anything.
  func withStored(
    _ rows: Range<Int>, _ columns: Range<Int>, of columnCount: Int,
    _ body: (_ codes: RawSpan, _ scales: Span<Float>, _ biases: Span<Float>, _ groups: Range<Int>) -> Void
  ) {
    let groupCount = columnCount / groupSize
    let groups = columns.lowerBound / groupSize..<columns.upperBound / groupSize
    codes.withSpan { span in
      let codes = span.extracting(codeRange(rows: rows, columnCount: columnCount))
      if let steps {
        return ScratchPool.shared.withScratch(rows.count * groupCount) { scales in
          ScratchPool.shared.withScratch(rows.count * groupCount) { biases in
            steps.makeFloats(rows: rows, groups: groups, of: groupCount, scales: &scales, biases: &biases)
            body(codes, scales.span, biases.span, groups)
          }
        }
      }
      let tables = rows.lowerBound * groupCount..<rows.upperBound * groupCount
      body(codes, scales.span.extracting(tables), biases.span.extracting(tables), groups)
    }
  }
}

/// The tables of `q2_k` blocks as they are stored: a byte for each group, and two factors for each block.
struct StepTables: Sendable {
  /// `[rows, groups]`: the integer of the scale, and above it that of the bias, 4 bits each.
  let steps: [UInt8]
  /// `[rows, blocks]`.
  let scaleFactors: [Float]
  /// `[rows, blocks]`.
  let biasFactors: [Float]

  /// Makes scales and biases of some rows, as `BlockTables` does.
  ///
  /// - Parameters:
  ///   - rows: The rows.
  ///   - groups: The groups of a row that are made; the others stay as they are.
  ///   - groupCount: The groups of a row.
  ///   - scales: Receives `[rows.count, groupCount]`.
  ///   - biases: Receives `[rows.count, groupCount]`.
  func makeFloats(
    rows: Range<Int>, groups: Range<Int>, of groupCount: Int, scales: inout MutableSpan<Float>,
    biases: inout MutableSpan<Float>
  ) {
    let groupsPerBlock = SuperBlock.q2K.groupCount
    let steps = steps.span
    for row in 0..<rows.count {
      let stored = (rows.lowerBound + row) * groupCount
      var start = groups.lowerBound
      while start < groups.upperBound {
        let block = (stored + start) / groupsPerBlock
        let end = min((start / groupsPerBlock + 1) * groupsPerBlock, groups.upperBound)
        let (scaleFactor, biasFactor) = (scaleFactors[block], biasFactors[block])
        let part = steps.extracting(stored + start..<stored + end)
        var scalePart = scales.slice(row * groupCount + start..<row * groupCount + end)
        for i in part.indices { scalePart[i] = scaleFactor * Float(part[i] & 15) }
        var biasPart = biases.slice(row * groupCount + start..<row * groupCount + end)
        for i in part.indices { biasPart[i] = 0 - biasFactor * Float(part[i] >> 4) }
        start = end
      }
    }
  }
}
