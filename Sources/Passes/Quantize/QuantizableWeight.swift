import Checkpoints
import Kernels
import Models

/// The matrix of a module that can be quantized: a dense one, or a packed one with more bits.
struct QuantizableWeight {
  /// The name of the module.
  let module: String
  /// The number of output features.
  let rowCount: Int
  /// The number of input features.
  let columnCount: Int
  /// The tensors of the matrix, `m.weight` first; quantization removes them.
  let stored: [TensorInfo]
  private let layout: QuantizedLayout?

  /// The number of weights.
  var elementCount: Int { rowCount * columnCount }
  /// The tensor name for messages.
  var name: String { ModuleTensor.weight.name(of: module) }

  /// Finds a module's matrix by its tensors.
  ///
  /// - Throws: `FormatError` when the matrix is missing or its dtype cannot hold weights, `PassError.usage`
  ///   when it is packed and has trained changes or an adapter, which belong to its current groups.
  init(_ module: String, in input: Checkpoint) throws {
    func require(_ kind: ModuleTensor) throws(FormatError) -> TensorInfo {
      let name = kind.name(of: module)
      guard let tensor = input.tensor(named: name) else {
        throw FormatError(input.path, .missing("tensor '\(name)'"))
      }
      return tensor
    }
    self.module = module
    layout = input.contents.quantization[module]
    let weight = try require(.weight)
    if let layout {
      for kind in ModuleTensor.allCases where kind.isBesideWeight {
        guard input.tensor(named: kind.name(of: module)) == nil else {
          throw PassError.usage(
            "quantize: module '\(module)' has an adapter or trained changes; 'rilq merge' folds them in")
        }
      }
      stored = try layout.partKinds.map { try require($0) }
      let shape = layout.shape(ofStored: weight)
      (rowCount, columnCount) = (shape[0], shape[1])
    } else {
      guard weight.dtype.isWeight else {
        throw FormatError(
          input.path, at: "tensor '\(weight.name)'",
          .unsupported("dtype \(weight.dtype.rawValue) cannot be quantized; F32, F16 and BF16 can"))
      }
      stored = [weight]
      (rowCount, columnCount) = (weight.shape[0], weight.shape[1])
    }
  }

  /// Reads the values, exact in both forms.
  func weight(in input: Checkpoint) throws -> Weight {
    try ModelReader(checkpoint: input).weight(module, rows: rowCount, columns: columnCount)
  }
}
