import Checkpoints
import Kernels
import Passes
import TestSupport

/// A checkpoint of a few tensors, written as a container.
struct SmallCheckpoint {
  var tensors: [(TensorInfo, [UInt8])] = []
  var quantization: [String: QuantizedLayout] = [:]
  var metadata = JSONValue.object([])

  /// Adds singles.
  mutating func add(_ name: String, _ values: [Float], shape: [Int]? = nil) {
    add(name, .f32, shape ?? [values.count], narrowed(values, to: .f32))
  }

  /// Adds stored bytes.
  mutating func add(_ name: String, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]) {
    tensors.append((TensorInfo(name: name, dtype: dtype, shape: shape), bytes))
  }

  /// Adds one packed row: 32 codes of 2 bits in one group.
  mutating func addPacked(_ module: String, codes: [UInt8], scale: Float, bias: Float) {
    var bytes = [UInt8](repeating: 0, count: 8)
    var span = bytes.mutableSpan
    packCodes(codes.span, bits: 2, into: &span)
    add(module + ".weight", .u32, [1, 2], bytes)
    add(module + ".scales", [scale], shape: [1, 1])
    add(module + ".biases", [bias], shape: [1, 1])
    quantization[module] = QuantizedLayout(bits: 2, groupSize: 32)
  }

  /// Writes the checkpoint and opens it.
  func open(in folder: TemporaryFolder, named name: String = "small.rilq") throws -> Checkpoint {
    let contents = CheckpointContents(
      tensors: tensors.map(\.0), quantization: quantization, metadata: metadata)
    let writer = try ContainerWriter(contents, path: folder.path(name))
    for (tensor, bytes) in tensors { try TensorBytes(bytes).withSpan { try writer.write(tensor, $0) } }
    _ = try writer.finish()
    return try Checkpoint.open(path: folder.path(name))
  }
}

/// Copies a checkpoint with the pipeline, perhaps through passes.
func convert(_ input: String, to output: String, passes: String = "[]") throws -> Checkpoint {
  let recipe = try Recipe(parsing: "input: \(input)\noutput: \(output)\npasses: \(passes)\n", path: "r.yaml")
  _ = try Pipeline(recipe, Pipeline.Options(version: "test")).run()
  return try Checkpoint.open(path: output)
}

/// The small fixture.
let tinyLlama = Fixtures.path("tiny-llama")
