package import Kernels
package import Checkpoints

/// A linear of the model: its weight and its optional adapter.
package struct Linear: Sendable {
  /// The module, as in the checkpoint: `model.layers.0.self_attn.q_proj`.
  package let name: String
  /// `[out, in]`.
  package var weight: Weight
  /// Added to each output, `[out]`; nil without one.
  package var bias: [Float]?
  /// The adapter, whose output is added to the weight's.
  package var adapter: LowRankAdapter?

  /// Joins a name, a weight and an adapter.
  package init(name: String, weight: Weight, adapter: LowRankAdapter? = nil) {
    self.name = name
    self.weight = weight
    self.adapter = adapter
  }
}

/// The update `scaling · B · A` of a linear, applied to its input or to the means of the input's groups.
///
/// Source: LoRA, arXiv:2106.09685; pooled: QA-LoRA, arXiv:2309.14717.
package struct LowRankAdapter: Sendable {
  /// Whether A reads the input itself or the groups' means.
  package let kind: AdapterParameters.Kind
  /// The rows of A.
  package let rank: Int
  /// `alpha / rank`.
  package let scaling: Float
  /// The number of columns pooled into one; 1 for a dense adapter.
  package let groupSize: Int
  /// `[rank, in]`, or `[rank, in / groupSize]` when pooled.
  package var loraA: Matrix
  /// `[out, rank]`.
  package var loraB: Matrix

  /// Joins the two factors.
  package init(
    kind: AdapterParameters.Kind, scaling: Float, groupSize: Int, loraA: Matrix, loraB: Matrix
  ) {
    precondition(loraA.rowCount == loraB.columnCount, "ranks differ: \(loraA.rowCount), \(loraB.columnCount)")
    self.kind = kind
    self.scaling = scaling
    self.groupSize = kind == .pooled ? groupSize : 1
    self.loraA = loraA
    self.loraB = loraB
    rank = loraA.rowCount
  }

  /// The input of A: `x` itself, or the mean of each group of its columns.
  ///
  /// - Parameter x: `[tokens, in]`.
  /// - Returns: `[tokens, A's columns]`.
  func adapterInput(_ x: Matrix) -> Matrix {
    guard kind == .pooled else { return x }
    var pooled = pooledSums(x, groupSize: groupSize)
    let factor = 1 / Float(groupSize)
    for i in pooled.values.indices { pooled.values[i] *= factor }
    return pooled
  }
}

/// Sums each group of columns.
///
/// - Parameters:
///   - x: `[tokens, in]`.
///   - groupSize: The number of columns per group; divides `in`.
/// - Returns: `[tokens, in / groupSize]`.
package func pooledSums(_ x: Matrix, groupSize: Int) -> Matrix {
  let groupCount = x.columnCount / groupSize
  var pooled = Matrix(rows: x.rowCount, columns: groupCount)
  var values = pooled.values.mutableSpan
  parallelRows(of: &values, columnCount: groupCount, rowsPerChunk: 32) { rows, part in
    for (i, row) in rows.enumerated() {
      var target = part.slice(i * groupCount..<(i + 1) * groupCount)
      poolGroups(x.values.span.extracting(x.row(row)), groupSize: groupSize, into: &target)
    }
  }
  return pooled
}

extension Linear {
  /// The weight with its adapter added, as floats: `W + scaling · B · A`, `[out, in]`.
  ///
  /// A pooled adapter adds the same value to every column of a group.
  package var foldedWeight: Matrix {
    var sum = Matrix.unspecified(rows: weight.rowCount, columns: weight.columnCount)
    let columns = weight.columnCount
    var whole = sum.mutableView
    parallelRows(of: &whole, rowsPerChunk: 64) { rows, part in
      var floats = part.contiguousElements()
      weight.unpack(rows: rows, columns: 0..<columns, into: &floats)
      adapter?.addProduct(rows: rows, to: &part)
    }
    return sum
  }
}

extension LowRankAdapter {
  /// Adds some rows of `scaling · B · A` to the same rows of the weight.
  fileprivate func addProduct(rows: Range<Int>, to weight: inout MutableMatrixView<Float>) {
    let b = loraB.view[rows: rows]
    guard kind == .pooled else {
      return multiply(b, loraA.view, scale: scaling, into: &weight, adding: true)
    }
    ScratchPool.shared.withMatrix(rows: rows.count, columns: loraA.columnCount) { update in
      multiply(b, loraA.view, into: &update)
      for i in 0..<rows.count {
        var row = weight.row(i)
        spreadGroups(
          update.view.row(i), groupSize: groupSize, scale: scaling / Float(groupSize), addTo: &row)
      }
    }
  }
}
