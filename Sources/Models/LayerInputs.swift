import Checkpoints
import Kernels

/// Computes the inputs that each layer gets for each token beside the stream.
struct LayerInputs: Sendable {
  private let description: LayerInputsDescription
  private let placeholders: [Int: Int]
  private let table: Weight
  private var projection: LinearGroup
  private let norm: Norm

  /// Reads the tensors of a model; nil when it has no such inputs.
  ///
  /// - Throws: The errors of `Transformer.init`.
  init?(_ layout: ModelLayout, _ reader: ModelReader) throws {
    let tensors = layout.layerInputs
    guard let description = layout.configuration.description.layerInputs, tensors.count == 3 else {
      return nil
    }
    self.description = description
    placeholders = layout.configuration.description.placeholders
    table = try reader.linear(tensors[0]).weight
    projection = LinearGroup([try reader.linear(tensors[1])])
    norm = try reader.norm(tensors[2], description.norm)
  }

  /// The precision to which operands of the projection are rounded.
  var operands: ProductOperands {
    get { projection.operands }
    set { projection.operands = newValue }
  }

  /// What inputs of the projection are rounded to.
  var inputRounding: InputRounding {
    get { projection.inputRounding }
    set { projection.inputRounding = newValue }
  }

  /// Computes the inputs of all layers, `[tokens, layers · width]`.
  func callAsFunction(_ tokens: [Int32], _ embeddings: Matrix) -> Matrix {
    self(tokens, embeddings, 0..<description.totalWidth)
  }

  /// Computes the inputs of some layers.
  ///
  /// - Parameters:
  ///   - tokens: Ids inside the vocabulary.
  ///   - embeddings: Their embeddings, `[tokens, hidden]`.
  ///   - columns: The columns of these layers.
  /// - Returns: `[tokens, columns]`.
  func callAsFunction(_ tokens: [Int32], _ embeddings: Matrix, _ columns: Range<Int>) -> Matrix {
    var result = projection(embeddings, outputs: columns)
    result.multiply(by: description.projectionFactor)
    let columnCount = result.columnCount
    norm.apply(to: &result, columns: 0..<columnCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 8) { rows, part in
      ScratchPool.shared.withScratch(columnCount) { row in
        for (i, token) in rows.enumerated() {
          let id = placeholders[Int(tokens[token])] ?? Int(tokens[token])
          table.unpack(rows: id..<id + 1, columns: columns, into: &row)
          for j in 0..<columnCount {
            let sum = part[i * columnCount + j] + row[j] * description.tableFactor
            part[i * columnCount + j] = sum * description.factor
          }
        }
      }
    }
    return result
  }
}

extension Matrix {
  /// Multiplies each element by that of another matrix of the same shape.
  func multiplied(by other: Matrix) -> Matrix { multiplied(byColumns: 0..<other.columnCount, of: other) }

  /// Multiplies each element by that of some columns of another matrix.
  func multiplied(byColumns columns: Range<Int>, of other: Matrix) -> Matrix {
    precondition(columns.count == columnCount, "\(columns.count) factors, \(columnCount) columns")
    var result = self
    let columnCount = columnCount
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        let start = row * other.columnCount
        let factors = other.values.span.extracting(start + columns.lowerBound..<start + columns.upperBound)
        for j in factors.indices { part[i * columnCount + j] *= factors[j] }
      }
    }
    return result
  }
}
