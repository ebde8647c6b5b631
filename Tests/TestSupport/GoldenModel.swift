package import Checkpoints
import Kernels
package import Models

/// The quantized tiny model with the adapters of the golden files.
package enum GoldenModel {
  private static let rank = 8
  private static let scaling: Float = 2

  /// A file of `Fixtures/golden` as JSON.
  package static func json(_ name: String) throws -> JSONValue {
    try JSONValue(contentsOf: Fixtures.path("golden/" + name))
  }

  /// The tiny model with its 28 linears from `rtn-w2g64.safetensors` and adapters of rank 8.
  package static func student(
    adaptersFrom golden: Checkpoint, kind: AdapterParameters.Kind, zeroB: Bool = false
  ) throws -> Transformer {
    let quantized = try Checkpoint.open(path: Fixtures.path("golden/rtn-w2g64.safetensors"))
    var model = try Transformer(Checkpoint.open(path: Fixtures.path("tiny-llama")))
    try model.updateLayerLinears { linear in
      let (rows, columns) = (linear.weight.rowCount, linear.weight.columnCount)
      let packed = PackedWeight(
        codes: try quantized.bytes(of: linear.name + ".weight"), bits: 2, groupSize: 64,
        scales: try Fixtures.floats(linear.name + ".scales", in: quantized),
        biases: try Fixtures.floats(linear.name + ".biases", in: quantized))
      linear.weight = Weight(rows: rows, columns: columns, values: .packed(packed))
      let a = try Fixtures.floats(linear.name + ".lora_A", in: golden)
      let b = try Fixtures.floats(linear.name + ".lora_B", in: golden).map { zeroB ? 0 : $0 }
      linear.adapter = LowRankAdapter(
        kind: kind, scaling: scaling, groupSize: 64,
        loraA: Matrix(rows: rank, columns: a.count / rank, values: a),
        loraB: Matrix(rows: rows, columns: rank, values: b))
    }
    return model
  }
}
