import Checkpoints
import Models

/// The tensors of one module: its own, and those that are merged into them.
struct MergeParts {
  let module: String
  /// The weight, and its tables when it is packed.
  let own: [TensorInfo]
  /// The adapter and trained changes.
  let beside: [TensorInfo]
  let quantization: QuantizedLayout?
  let rows: Int
  let columns: Int

  init(_ module: String, in input: Checkpoint) throws {
    self.module = module
    quantization = input.contents.quantization[module]
    own = try (quantization?.partKinds ?? [.weight]).map { kind in
      let name = kind.name(of: module)
      guard let tensor = input.tensor(named: name) else {
        throw FormatError(input.path, .missing("tensor '\(name)'"))
      }
      return tensor
    }
    beside = ModuleTensor.allCases.filter(\.isBesideWeight).compactMap {
      input.tensor(named: $0.name(of: module))
    }
    rows = own[0].shape[0]
    columns = (quantization?.shape(ofStored: own[0]) ?? own[0].shape)[1]
  }

  var hasAdapter: Bool { beside.contains { $0.name.hasSuffix(".lora_A.weight") } }

  var action: String {
    beside.isEmpty
      ? "tables converted"
      : "merged " + beside.map { $0.name.dropFirst(module.count + 1) }.joined(separator: ", ")
  }

  /// Returns the error of a dense adapter on packed codes.
  ///
  /// - Parameter way: The alternative to allowing the loss.
  /// - Returns: The error, with both alternatives.
  func refusalOfDense(_ way: String) -> PassError {
    .notExact(
      "module '\(module)': a dense adapter cannot be merged into \(quantization?.bits ?? 2)-bit codes exactly; "
        + "\(way), or allow --requantize, which reports the loss")
  }

  /// Returns one of the module's own tensors.
  func own(_ kind: ModuleTensor) throws -> TensorInfo {
    guard let tensor = own.first(where: { $0.name == kind.name(of: module) }) else {
      preconditionFailure("module '\(module)' has no \(kind.rawValue)")
    }
    return tensor
  }

  func readLinear(from input: Checkpoint) throws -> Linear {
    try ModelReader(checkpoint: input).linear(module, rows: rows, columns: columns)
  }
}
