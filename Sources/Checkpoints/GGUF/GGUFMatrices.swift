/// The matrices of a checkpoint's model by the tensors that hold them in a GGUF file.
package struct GGUFMatrices: Sendable {
  /// A matrix of the checkpoint.
  package struct Matrix: Sendable {
    /// The module in the checkpoint.
    package let module: String
    /// The number of columns.
    package let columnCount: Int
    /// The order of the columns in the file.
    private let order: GGUFRowOrder

    fileprivate init(_ tensor: ModelTensor) {
      module = tensor.module
      columnCount = tensor.shape[1]
      order = tensor.slot.ggufColumnOrder
    }

    /// Reorders one value per column.
    ///
    /// - Parameter values: `[columns]`, in the order of the file.
    /// - Returns: The values in the order of the checkpoint.
    package func fromFile(_ values: ArraySlice<Float>) -> [Float] {
      (0..<columnCount).map { values[values.startIndex + order.place(of: $0)] }
    }

    /// Reorders one value per column.
    ///
    /// - Parameter values: `[columns]`, in the order of the checkpoint.
    /// - Returns: The values in the order of the file.
    package func inFile(_ values: [Float]) -> [Float] {
      (0..<columnCount).map { values[order.source(of: $0)] }
    }
  }

  /// The place of a matrix.
  package struct Place: Sendable {
    /// The tensor in the file.
    package let tensor: String
    /// The position among the experts that the tensor stacks; 0 in a tensor of its own.
    package let index: Int
  }

  private var matrices: [String: [Matrix]] = [:]
  private var places: [String: Place] = [:]
  /// The number of layers.
  package let layerCount: Int

  /// Finds the matrices of a checkpoint's model.
  ///
  /// - Parameter checkpoint: The checkpoint, with the experts of a layer apart or together.
  /// - Throws: `FormatError` when its model is not supported, or a tensor of it is missing.
  package init(of checkpoint: Checkpoint) throws {
    let layout = try ModelLayout(of: checkpoint)
    try layout.requireTensors(in: checkpoint)
    layerCount = layout.configuration.layerCount
    for tensor in Array(layout.bodyTensors) + [layout.head] where tensor.shape.count == 2 {
      let name = tensor.gguf + tensor.slot.ggufForm.ending
      places[tensor.module] = Place(tensor: name, index: matrices[name, default: []].count)
      matrices[name, default: []].append(Matrix(tensor))
    }
  }

  /// The matrices that a tensor of the file holds, experts in their order; none if the model has no such
  /// matrix.
  package func matrices(in tensor: String) -> [Matrix] { matrices[tensor, default: []] }

  /// The place of a module's matrix; nil if it is no matrix of the model.
  package func place(of module: String) -> Place? { places[module] }
}
