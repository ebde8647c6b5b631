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
    let names = quantization == nil ? ["weight"] : ["weight", "scales", "biases"]
    own = try names.map { name in
      guard let tensor = input.tensor(named: "\(module).\(name)") else {
        throw FormatError(input.path, .missing("tensor '\(module).\(name)'"))
      }
      return tensor
    }
    beside = ["lora_A.weight", "lora_B.weight", "scales_delta", "biases_delta"].compactMap {
      input.tensor(named: "\(module).\($0)")
    }
    rows = own[0].shape[0]
    let width = own[0].shape[1]
    columns = quantization.map { width * 32 / $0.bits } ?? width
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

  /// Returns one of the module's own tensors, by the last part of its name.
  func own(_ kind: String) throws -> TensorInfo {
    guard let tensor = own.first(where: { $0.name == "\(module).\(kind)" }) else {
      preconditionFailure("module '\(module)' has no \(kind)")
    }
    return tensor
  }

  func readLinear(from input: Checkpoint) throws -> Linear {
    try ModelReader(checkpoint: input).linear(module, rows: rows, columns: columns)
  }
}
