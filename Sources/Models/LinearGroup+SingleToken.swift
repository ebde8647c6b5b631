import Checkpoints
package import Kernels
import Synchronization

extension LinearGroup {
  /// The number of weights that one task multiplies.
  private static let weightsPerTask = 131_072

  /// Computes the outputs of all linears for one token, adapters included.
  ///
  /// Multiplies the weights as stored, without unpacking them. The result equals `callAsFunction` up to the
  /// order of addition, in a fraction of its time.
  ///
  /// - Parameters:
  ///   - x: `[1, in]`.
  ///   - isRounded: Whether packed weights are multiplied with `x` rounded to int8, where there is a kernel
  ///     for their codes; see `Int8Vector`.
  /// - Returns: `[1, out]`, the linears' outputs side by side.
  package func outputs(ofSingle x: Matrix, isRounded: Bool = false) -> Matrix {
    precondition(x.rowCount == 1, "\(x.rowCount) tokens, expected 1")
    var y = Matrix.unspecified(rows: 1, columns: outputCount)
    let tiles = singleTokenTiles
    let reduced = reducedInputs(x)
    let inputs = singleInputs(x, isRounded: isRounded)
    let places = tiles.map { MatrixTile(rows: 0..<1, columns: columns(of: $0.linear).shifted($0.rows)) }
    var whole = y.mutableView
    parallelTiles(of: &whole, places) { index, y in
      let (rows, linear) = (tiles[index].rows, linears[tiles[index].linear])
      var row = y.row(0)
      multiplySingle(linear.weight, rows: rows, x, inputs[tiles[index].linear], into: &row)
      if let adapter = linear.adapter, let h = reduced[tiles[index].linear] {
        multiply(
          h.view, adapter.loraB.view[rows: rows].transposed, scale: adapter.scaling, into: &y, adding: true)
      }
      linear.addBias(rows: rows, to: &y)
    }
    return y
  }

  /// Returns the group with its dense weights rounded to codes of 8 bits, whose products with single tokens read
  /// half as much as those of bf16.
  ///
  /// - Returns: Nil if the rows have no whole groups, or a weight is not finite.
  func roundedToBytes() -> LinearGroup? {
    guard let groupSize = [64, 32].first(where: { inputCount % $0 == 0 }) else { return nil }
    var rounded = self
    for index in linears.indices where linears[index].weight.packed == nil {
      guard let weight = linears[index].weight.roundedToBytes(groupSize: groupSize) else { return nil }
      rounded.linears[index].weight = weight
    }
    return rounded
  }

  /// Keeps tables as bytes where products with single tokens can read those.
  package mutating func keepSteps() {
    // A dense weight must not be given nothing in place of its codes.
    for index in linears.indices where linears[index].weight.packed != nil {
      linears[index].weight.packed?.keepSteps()
    }
  }

  /// The outputs, cut into tiles that depend on the shapes alone.
  private var singleTokenTiles: [OutputTile] {
    let rowsPerTile = max(Self.weightsPerTask / max(inputCount, 1) / 8 * 8, 8)
    return linears.indices.flatMap { index in
      let rowCount = linears[index].weight.rowCount
      return stride(from: 0, to: rowCount, by: rowsPerTile).map {
        OutputTile(linear: index, rows: $0..<min($0 + rowsPerTile, rowCount))
      }
    }
  }

  /// What the product of a packed weight needs beside the input.
  private struct SingleInput {
    /// The sums of the input over the groups.
    let groupSums: [Float]
    /// The input, if it is rounded.
    let rounded: Int8Vector?
  }

  /// The inputs of each linear; nil for a dense one.
  private func singleInputs(_ x: Matrix, isRounded: Bool) -> [SingleInput?] {
    var known: [[Int]: SingleInput] = [:]
    return linears.map { linear in
      guard let packed = linear.weight.packed else { return nil }
      let (bits, groupSize) = (packed.bits, packed.groupSize)
      if let input = known[[bits, groupSize]] { return input }
      let sums = pooledSums(x, groupSize: groupSize).values
      let isRounded =
        isRounded
        && Int8Vector.supports(bits: bits, groupSize: groupSize, columnCount: linear.weight.columnCount)
      let input = SingleInput(
        groupSums: sums,
        rounded: isRounded ? Int8Vector(x.values.span, sums: sums, bits: bits, groupSize: groupSize) : nil)
      known[[bits, groupSize]] = input
      return input
    }
  }

  private func multiplySingle(
    _ weight: Weight, rows: Range<Int>, _ x: Matrix, _ input: SingleInput?, into y: inout MutableSpan<Float>
  ) {
    switch weight.values {
    case .dense(let bytes, let format):
      let rowBytes = weight.columnCount * format.byteWidth
      bytes.withSpan { bytes in
        multiplyDenseRows(
          bytes.extracting(rows.lowerBound * rowBytes..<rows.upperBound * rowBytes), of: format,
          x: x.values.span, into: &y)
      }
    case .packed(let packed):
      guard let input else { preconditionFailure("a packed weight has sums of its input") }
      if let rounded = input.rounded, let steps = packed.steps {
        return multiplySteps(of: packed, steps, rows: rows, rounded, into: &y)
      }
      packed.withStored(rows, 0..<weight.columnCount, of: weight.columnCount) { codes, scales, biases, _ in
        guard let rounded = input.rounded else {
          return multiplyPackedRows(
            codes: codes, bits: packed.bits, groupSize: packed.groupSize, columnCount: weight.columnCount,
            scales: scales, biases: biases, x: x.values.span, groupSums: input.groupSums.span, into: &y)
        }
        multiplyPackedRows(codes: codes, scales: scales, biases: biases, x: rounded, into: &y)
      }
    }
  }

  private func multiplySteps(
    of packed: PackedWeight, _ steps: StepTables, rows: Range<Int>, _ x: Int8Vector,
    into y: inout MutableSpan<Float>
  ) {
    let groups = inputCount / packed.groupSize
    let blocks = inputCount / SuperBlock.columnCount
    let blockRange = rows.lowerBound * blocks..<rows.upperBound * blocks
    packed.codes.withSpan { codes in
      multiplyPackedRows(
        codes: codes.extracting(packed.codeRange(rows: rows, columnCount: inputCount)),
        steps: steps.steps.span.extracting(rows.lowerBound * groups..<rows.upperBound * groups),
        scaleFactors: steps.scaleFactors.span.extracting(blockRange),
        biasFactors: steps.biasFactors.span.extracting(blockRange), x: x, into: &y)
    }
  }
}

extension Weight {
  private static let rowsPerChunk = 256

  /// Rounds to codes of 8 bits.
  ///
  /// - Returns: Nil if a weight is not finite.
  fileprivate func roundedToBytes(groupSize: Int) -> Weight? {
    let groupCount = columnCount / groupSize
    let chunkCount = (rowCount + Self.rowsPerChunk - 1) / Self.rowsPerChunk
    let tables = Mutex(
      (
        scales: [Float](repeating: 0, count: rowCount * groupCount),
        biases: [Float](repeating: 0, count: rowCount * groupCount), finishedCount: 0
      ))
    var codes = [UInt8](repeating: 0, count: rowCount * columnCount)
    var codeSpan = codes.mutableSpan
    parallelRows(of: &codeSpan, columnCount: columnCount, rowsPerChunk: Self.rowsPerChunk) { rows, codes in
      let weights = floats(rows: rows)
      var scales = [Float](repeating: 0, count: rows.count * groupCount)
      var biases = scales
      var scaleSpan = scales.mutableSpan
      var biasSpan = biases.mutableSpan
      let firstBad = quantizeRoundToNearest(
        weights.span, bits: 8, groupSize: groupSize, columnCount: columnCount, codes: &codes,
        scales: &scaleSpan, biases: &biasSpan)
      guard firstBad == nil else { return }
      let start = rows.lowerBound * groupCount
      tables.withLock { tables in
        for i in scales.indices {
          tables.scales[start + i] = scales[i]
          tables.biases[start + i] = biases[i]
        }
        tables.finishedCount += 1
      }
    }
    let (scales, biases, finishedCount) = tables.withLock { $0 }
    guard finishedCount == chunkCount else { return nil }
    return Weight(
      rows: rowCount, columns: columnCount,
      values: .packed(
        PackedWeight(
          codes: TensorBytes(codes), bits: 8, groupSize: groupSize, scales: scales, biases: biases)))
  }
}
