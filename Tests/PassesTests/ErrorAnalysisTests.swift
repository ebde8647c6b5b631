import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct ErrorAnalysisTests {
  private static let text = ErrorAnalysis.Text(
    path: Fixtures.path("tiny-llama/calibration.txt"), samples: 4, length: 64)
  private static let damaged = "model.layers.1.mlp.up_proj"
  /// The singular values of the error.
  private static let sizes = [0.4, 0.2, 0.1]
  private let bench: Workbench
  private let original: Checkpoint

  /// A model with an error of known singular values in one linear: products of rows of Hadamard's matrix of order 128.
  init() throws {
    let model = TinyModel { $0.dtype = .f32 }
    bench = try Workbench(model) { name, values in
      guard name == Self.damaged + ".weight" else { return }
      for i in values.indices {
        let terms = Self.sizes.enumerated().map { k, size in
          size * Self.hadamard(k + 1, i / 128) * Self.hadamard(k + 9, i % 128) / 128
        }
        values[i] += Float(terms.reduce(0, +))
      }
    }
    original = try model.write(to: bench.folder.path("original"))
  }

  private static func hadamard(_ row: Int, _ column: Int) -> Double {
    (row & column).nonzeroBitCount % 2 == 0 ? 1 : -1
  }

  @Test func `finds the singular values of a known error, and none elsewhere`() throws {
    let analysis = try ErrorAnalysis(bench.input, reference: original)
    #expect(analysis.linears.count == 14)
    for linear in analysis.linears where linear.name != Self.damaged {
      #expect(linear.relativeError == 0)
      #expect(linear.ranksForEnergy == [0, 0, 0, 0])
    }
    let linear = try #require(analysis.linears.first { $0.name == Self.damaged })
    #expect(linear.kind == "up_proj")
    // Sums of singles round the error to about 1e-8 an element.
    for (value, size) in zip(linear.singularValues, Self.sizes) { #expect(abs(value - size) < 1e-5) }
    #expect(linear.singularValues[3] < 1e-5)
    // Of 0.21 the first holds 0.16, the first two 0.20.
    #expect(linear.ranksForEnergy == [1, 2, 2, 2])
    #expect(analysis.layers.isEmpty && linear.outputs == nil)
  }

  @Test func `a layer behind an error is further from the original than one before it`() throws {
    let analysis = try ErrorAnalysis(bench.input, reference: original, text: Self.text)
    #expect(analysis.layers.count == 2)
    #expect(analysis.layers[0] == 0)
    #expect(analysis.layers[1] > 1e-3)
    #expect(try #require(analysis.final) > 1e-3)
  }

  @Test func `a rank that holds the whole error leaves none of it in the output`() throws {
    let analysis = try ErrorAnalysis(bench.input, reference: original, text: Self.text)
    let linear = try #require(analysis.linears.first { $0.name == Self.damaged })
    let outputs = try #require(linear.outputs)
    #expect(linear.outputRanks == [0, 1, 2, 4, 8, 16, 32, 64, 128])
    #expect(outputs.svd.count == 9 && outputs.qera.count == 9)
    #expect(outputs.svd[0] > 0.01 && outputs.svd[0] == outputs.qera[0])
    #expect(outputs.svd[3] < 1e-4 && outputs.qera[3] < 1e-4)
    for (svd, qera) in zip(outputs.svd, outputs.qera) { #expect(qera <= svd + 1e-6) }
  }

  @Test(arguments: ["wide", "tall"])
  func `output errors against ranks are those of the direct solution`(name: String) throws {
    let golden = try Checkpoint.open(path: Fixtures.path("golden/lowrank.safetensors"))
    let shape = try #require(golden.tensor(named: name + ".error")).shape
    let bytes = try golden.bytes(of: name + ".error")
    let zeros = TensorBytes([UInt8](repeating: 0, count: 4 * shape[0] * shape[1]))
    let linears = [zeros, bytes].map {
      Linear(name: name, weight: Weight(rows: shape[0], columns: shape[1], values: .dense($0, .f32)))
    }
    let inputs = try Fixtures.floats(name + ".inputs", in: golden)
    let moments = SecondMoments(
      of: Matrix(rows: inputs.count / shape[1], columns: shape[1], values: inputs))
    let errors = try LinearErrors(of: linears[0], original: linears[1], moments: DoubleMatrix(moments))
    #expect(errors.relativeError == 1)
    let outputs = try #require(errors.outputs)
    for (key, values) in [("svd", outputs.svd), ("qera", outputs.qera)] {
      let expected = try Fixtures.floats("\(name).output_error.\(key)", in: golden)
      for (rank, value) in zip(errors.outputRanks, values) {
        let right = Double(expected[rank] / expected[0]).squareRoot()
        #expect(abs(value - right) < 1e-4, "\(key), rank \(rank)")
      }
    }
  }

  @Test func `an adapter is told apart from the error of the weight`() throws {
    let fixture = try Workbench(fixture: "tiny-llama")
    let quantized = try fixture.run(.quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    let attach = AttachOptions {
      $0.kind = .dense
      $0.rank = 4
      $0.initialization = .loftq
    }
    let attached = try fixture.run(.quantize(QuantizeOptions()), .attach(attach), to: "a.rilq").checkpoint
    let (plain, adapted) = try (
      ErrorAnalysis(quantized, reference: fixture.input),
      ErrorAnalysis(attached, reference: fixture.input, text: Self.text)
    )
    for (before, after) in zip(plain.linears, adapted.linears) {
      #expect(before.adapter == nil)
      let adapter = try #require(after.adapter)
      #expect(after.relativeError == before.relativeError && adapter.rank == 4)
      // What the first four singular values held is gone.
      let energies = before.singularValues.map { $0 * $0 }
      let left = (energies[4...].reduce(0, +) / energies.reduce(0, +)).squareRoot()
      #expect(abs(adapter.relativeError / before.relativeError - left) < 1e-5)
      let output = try #require(adapter.relativeOutputError)
      let svd = try #require(after.outputs?.svd[3])
      #expect(abs(output - svd) < 1e-5)
    }
    #expect(adapted.text.contains("its output"))
  }

  @Test func `the document has its keys`() throws {
    let document = try ErrorAnalysis(bench.input, reference: original, text: Self.text).json
    #expect(
      document.object?.map(\.key) == [
        "checkpoint", "reference", "energy_shares", "linears", "text", "samples", "length", "ranks",
        "mean_output_error", "layers", "final_relative_error",
      ])
    let linear = try #require(document["linears"]?.array?.first)
    #expect(
      linear.object?.map(\.key) == [
        "name", "kind", "shape", "relative_error", "ranks_for_energy", "singular_values", "output_error",
      ])
    #expect(linear["output_error"]?.object?.map(\.key) == ["ranks", "svd", "qera"])
    #expect(document["layers"]?.array?.first?.object?.map(\.key) == ["layer", "relative_error"])
    let short = try ErrorAnalysis(bench.input, reference: original).json
    #expect(short.object?.map(\.key) == ["checkpoint", "reference", "energy_shares", "linears"])
  }

  @Test func `the report has a line for each kind and each layer`() throws {
    let lines = try ErrorAnalysis(bench.input, reference: original, text: Self.text).text
      .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    for kind in ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] {
      #expect(lines.count { $0.hasPrefix(kind) } == 1, "\(kind)")
    }
    #expect(lines.contains { $0.hasPrefix("0 ") && $0.hasSuffix("0.0000") })
    #expect(lines.last?.hasPrefix("final norm") == true)
  }

  @Test func `the same numbers on any number of threads`() throws {
    let documents = try [1, 2, 5].map { count in
      try ThreadLimit.with(count) {
        try ErrorAnalysis(bench.input, reference: original, text: Self.text).json
      }
    }
    #expect(documents[0] == documents[1] && documents[0] == documents[2])
  }

  @Test func `refuses a reference with other shapes`() throws {
    let other = try TinyModel { $0.intermediateSize = 256 }.write(to: bench.folder.path("other"))
    let text = message { _ = try ErrorAnalysis(bench.input, reference: other) }
    #expect(text.says("module 'model.layers.0.mlp.gate_proj': … [128, 128] … [256, 128] …"))
  }

  @Test func `refuses a weight that is not finite`() throws {
    let name = Self.damaged + ".weight"
    let broken = try TinyModel().write(to: bench.folder.path("broken")) { tensor, values in
      if tensor == name { values[300] = .nan }
    }
    #expect(throws: PassError.notFinite(tensor: name, index: 300)) {
      _ = try ErrorAnalysis(broken, reference: original)
    }
  }
}
