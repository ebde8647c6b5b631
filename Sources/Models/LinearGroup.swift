package import Kernels

/// Linears that read the same input; their outputs stand side by side in one matrix.
package struct LinearGroup: Sendable {
  /// The linears, in the order of their outputs.
  package var linears: [Linear]
  /// The precision to which inputs, weights, adapters and gradients are rounded for their products.
  ///
  /// What an adapter's first factor reads is not rounded, nor is the gradient of what it makes.
  package var operands = ProductOperands.f32
  /// What inputs are rounded to for products of windows with weights, before `operands` rounds them.
  ///
  /// Adapters, gradients and products of single tokens take inputs as they are.
  package var inputRounding = InputRounding.f32
  /// The first output column of each linear, followed by the total.
  let columnOffsets: [Int]

  /// The number of input features.
  package var inputCount: Int { linears[0].weight.columnCount }
  /// The number of output features of all linears together.
  package var outputCount: Int { columnOffsets[linears.count] }

  /// Whether all weights are packed.
  var isPacked: Bool { linears.allSatisfy { $0.weight.packed != nil } }

  /// Groups linears with the same number of input features.
  package init(_ linears: [Linear]) {
    self.linears = linears
    columnOffsets = linears.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.weight.rowCount) }
  }

  /// Returns the output columns of a linear.
  package func columns(of index: Int) -> Range<Int> { columnOffsets[index]..<columnOffsets[index + 1] }

  /// Computes the outputs of all linears, adapters included.
  ///
  /// - Parameter x: `[tokens, in]`.
  /// - Returns: `[tokens, out]`, the linears' outputs side by side.
  package func callAsFunction(_ x: Matrix) -> Matrix { self(x, outputs: 0..<outputCount) }

  /// Computes some outputs, adapters included.
  ///
  /// - Parameters:
  ///   - x: `[tokens, in]`.
  ///   - outputs: The columns of all outputs that are computed.
  /// - Returns: `[tokens, outputs]`.
  func callAsFunction(_ x: Matrix, outputs: Range<Int>) -> Matrix {
    var y = Matrix.unspecified(rows: x.rowCount, columns: outputs.count)
    let tiles = outputTiles(of: outputs)
    let reduced = reducedInputs(x)
    let inputs = productInputs(x)
    let places = tiles.map {
      let columns = columns(of: $0.linear).shifted($0.rows)
      return MatrixTile(
        rows: 0..<x.rowCount,
        columns: columns.lowerBound - outputs.lowerBound..<columns.upperBound - outputs.lowerBound)
    }
    var whole = y.mutableView
    parallelTiles(of: &whole, places) { index, y in
      let rows = tiles[index].rows
      let linear = linears[tiles[index].linear]
      multiply(inputs[tiles[index].linear], byRows: rows, of: linear.weight, into: &y)
      if let adapter = linear.adapter, let h = reduced[tiles[index].linear] {
        multiply(
          h.view, adapter.loraB.view[rows: rows].transposed, scale: adapter.scaling, into: &y, adding: true,
          operands: operands)
      }
      linear.addBias(rows: rows, to: &y)
    }
    return y
  }

  /// Applies `A` to the input of each linear that has an adapter, `[tokens, rank]`.
  func reducedInputs(_ x: Matrix) -> [Matrix?] {
    linears.map { linear in linear.adapter.map { $0.reduce($0.adapterInput(x)) } }
  }

  /// Rows of one weight that are multiplied together.
  struct OutputTile {
    let linear: Int
    let rows: Range<Int>
  }

  /// Some outputs, cut into tiles that depend on the shapes alone.
  private func outputTiles(of outputs: Range<Int>) -> [OutputTile] {
    linears.indices.flatMap { index in
      let columns = columns(of: index)
      let own = columns.clamped(to: outputs)
      let first = own.lowerBound - columns.lowerBound
      return WeightTile.outputs(of: own.count).map {
        OutputTile(linear: index, rows: first + $0.lowerBound..<first + $0.upperBound)
      }
    }
  }
}

extension Linear {
  /// Adds the bias to some outputs, `[tokens, rows.count]`.
  func addBias(rows: Range<Int>, to y: inout MutableMatrixView<Float>) {
    guard let bias else { return }
    let part = bias.span.extracting(rows)
    for token in 0..<y.rowCount {
      var row = y.row(token)
      addScaled(part, scale: 1, to: &row)
    }
  }
}

extension LowRankAdapter {
  /// Multiplies the adapter's input with Aᵀ.
  ///
  /// - Parameter input: `[tokens, A's columns]`.
  /// - Returns: `[tokens, rank]`.
  func reduce(_ input: Matrix) -> Matrix {
    var h = Matrix.unspecified(rows: input.rowCount, columns: rank)
    var whole = h.mutableView
    parallelRows(of: &whole, rowsPerChunk: 64) { rows, part in
      multiply(input.view[rows: rows], loraA.view.transposed, into: &part)
    }
    return h
  }
}

extension Range<Int> {
  /// Moves a range relative to this range's start to absolute positions.
  func shifted(_ inner: Range<Int>) -> Range<Int> {
    lowerBound + inner.lowerBound..<lowerBound + inner.upperBound
  }
}
