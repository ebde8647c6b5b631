import Checkpoints
import Foundation
import Passes
import TestSupport
import Testing

@Suite struct QuantizedMatrixTests {
  @Test func `gives the tensors of the quantize pass`() throws {
    let bench = try Workbench()
    let module = "model.layers.0.mlp.up_proj"
    let weight = try #require(bench.input.tensor(named: module + ".weight"))
    let matrix = try QuantizedMatrix(
      rounding: try bench.input.floats(of: weight.name), rows: weight.shape[0], columns: weight.shape[1])
    let output = try bench.run(.quantize(QuantizeOptions())).checkpoint
    for (info, bytes) in matrix.tensors(of: module) {
      #expect(output.tensor(named: info.name) == info)
      #expect(try output.copiedBytes(of: info.name) == bytes.withSpan { $0.copiedBytes() })
    }
    #expect(matrix.relativeError > 0 && matrix.relativeError < 1)
  }

  @Test func `refuses what cannot be packed`() {
    let values = [Float](repeating: 1, count: 96)
    #expect(throws: PassError.self) { try QuantizedMatrix(rounding: values, rows: 2, columns: 64) }
    #expect(
      throws: PassError.divisibility(tensor: "matrix", columns: 96, groupSize: 64, fitting: [32])
    ) { try QuantizedMatrix(rounding: values, rows: 1, columns: 96) }
    #expect(throws: PassError.self) {
      try QuantizedMatrix(rounding: values, rows: 1, columns: 96, .init(bits: 7, groupSize: 32))
    }
    #expect(throws: PassError.notFinite(tensor: "matrix", index: 3)) {
      var broken = [Float](repeating: 1, count: 64)
      broken[3] = .nan
      _ = try QuantizedMatrix(rounding: broken, rows: 1, columns: 64)
    }
  }
}
