package import Checkpoints
import Kernels

/// A PEFT adapter made in code: a configuration and tensors of F32 with seeded values.
package struct SampleAdapter {
  private var tensors: [TensorInfo] = []
  /// The sources of tensors that copy another tensor, transposed or not, by the full name of the copy.
  private var copies: [String: (source: String, isTransposed: Bool)] = [:]
  private let settings: [JSONValue.Member]

  /// Begins an adapter.
  ///
  /// - Parameters:
  ///   - rank: The rows of A.
  ///   - alpha: `lora_alpha`.
  ///   - targets: `target_modules`.
  ///   - settings: Further keys of the configuration.
  package init(
    rank: Int, alpha: Double, targets: [String], _ settings: [JSONValue.Member] = []
  ) {
    self.settings =
      [
        JSONValue.Member("peft_type", .string("LORA")), JSONValue.Member("r", .integer(rank)),
        JSONValue.Member("lora_alpha", .double(alpha)),
        JSONValue.Member("target_modules", .array(targets.map(JSONValue.string))),
      ] + settings
  }

  /// Adds a tensor, named without PEFT's prefix.
  package mutating func add(_ name: String, _ shape: [Int]) {
    tensors.append(TensorInfo(name: "base_model.model." + name, dtype: .f32, shape: shape))
  }

  /// Adds a tensor with the values of another one or their transpose, both named without PEFT's prefix.
  package mutating func add(
    _ name: String, _ shape: [Int], valuesOf source: String, isTransposed: Bool = false
  ) {
    add(name, shape)
    copies["base_model.model." + name] = ("base_model.model." + source, isTransposed)
  }

  /// Adds A and B of a module.
  package mutating func add(_ module: String, rank: Int, inputs: Int, outputs: Int) {
    add(module + ".lora_A.weight", [rank, inputs])
    add(module + ".lora_B.weight", [outputs, rank])
  }

  /// Writes the folder.
  ///
  /// - Returns: The adapter, open.
  @discardableResult
  package func write(to name: String, in folder: TemporaryFolder) throws -> PeftAdapter {
    try folder.write(name + "/adapter_config.json", JSONValue.object(settings).prettyText)
    var header: [JSONValue.Member] = []
    var values: [UInt8] = []
    for tensor in tensors {
      let copy = copies[tensor.name]
      var random = SplitMix64(seed: (copy?.source ?? tensor.name).utf8.reduce(5) { $0 &* 31 &+ UInt64($1) })
      var floats = (0..<tensor.elementCount).map { _ in Float.random(in: -0.3...0.3, using: &random) }
      if copy?.isTransposed == true {
        let (rows, columns) = (tensor.shape[0], tensor.shape[1])
        floats = floats.indices.map { floats[$0 % columns * rows + $0 / columns] }
      }
      header.append(JSONValue.Member(tensor.name, tensor.entry(at: values.count)))
      values += narrowed(floats, to: .f32)
    }
    let text = Array(JSONValue.object(header).compactText.utf8)
    let length = UInt64(text.count).littleEndianBytes
    try folder.write(name + "/adapter_model.safetensors", length + text + values)
    return try PeftAdapter.open(folder.path(name))
  }
}

extension TensorInfo {
  fileprivate func entry(at offset: Int) -> JSONValue {
    .object([
      JSONValue.Member("dtype", .string(dtype.rawValue)),
      JSONValue.Member("shape", .array(shape.map(JSONValue.integer))),
      JSONValue.Member("data_offsets", .array([.integer(offset), .integer(offset + byteCount)])),
    ])
  }
}

extension PeftAdapter {
  /// The values of a tensor, named without PEFT's prefix.
  package func floats(_ name: String) throws -> [Float] {
    guard let tensor = tensors.first(where: { $0.name == "base_model.model." + name }) else { return [] }
    return try bytes(of: tensor).withSpan { widened($0, from: .f32) }
  }
}
