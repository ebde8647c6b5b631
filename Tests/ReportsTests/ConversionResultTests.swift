import Checkpoints
import Passes
import Reports
import TestSupport
import Testing

@Suite struct ConversionResultTests {
  @Test func `a real result is read in full`() throws {
    let run = try SampleRun.shared.get()
    let result = try run.result()
    #expect(result.name == "out.rilq" && result.format == "rilq")
    #expect(result.passes.map(\.name) == ["quantize", "calibrate", "merge", "verify", "verify"])
    #expect(result.passes[0].errors.count == 28)
    #expect(result.passes[0].errors.allSatisfy { $0.weights > 0 && $0.weights < 1 && $0.outputs == nil })
    let curve = try #require(result.passes[1].curve)
    #expect(curve.training.map(\.update) == [1, 2, 3, 4, 5, 6])
    #expect(curve.validation.map(\.update) == [0, 2, 4, 6])
    #expect(result.mergeVerification?.against == "unmerged")
    #expect(result.comparisonWithOriginal?.against == "input")
    #expect(result.comparisonWithOriginal?.continuations.count == 4)
    #expect(result.passes.allSatisfy { $0.peakMemory ?? 0 > 0 && $0.options != nil })
    let record = try #require(result.record)
    #expect(record.version == "0.0.0" && record.sources.contains { $0.file == "config.json" })
    #expect(record.model.contains(.init("num_hidden_layers", .integer(4))))
    let up = try #require(record.parts.first { $0.name == "model.layers.*.mlp.up_proj" })
    // Four layers of 384 x 128 weights: 2 bytes each, then 2 bits each and 8 bytes per group of 64.
    #expect(up.before == (196_608, 393_216) && up.after == (196_608, 49_152 + 24_576))
  }

  @Test func `errors of outputs are recorded where windows are compared`() throws {
    let run = try SampleRun {
      $0 = [
        .quantize(
          QuantizeOptions {
            $0.method = .gptq
            $0.texts = [PathOption(Fixtures.path("tiny-llama/calibration.txt"))]
            $0.samples = 2
            $0.length = 32
          })
      ]
    }
    let pass = try run.result().passes[0]
    #expect(pass.errors.count == 28 && pass.errors.allSatisfy { $0.outputs ?? 0 > 0 })
    let overall = try #require(pass.values.first { $0.key == "relative_output_error" }?.value.double)
    let range = pass.errors.compactMap(\.outputs)
    #expect((range.min() ?? 1) <= overall && overall <= (range.max() ?? 0))
  }

  @Test(arguments: [
    ("{}", "'input'"), (#"{"input": 1}"#, "'input'"), (#"{"input": "a", "output": "b"}"#, "'passes'"),
    (#"{"input": "a", "output": "b", "passes": [{}]}"#, "'name'"),
    (
      #"{"input": "a", "output": "b", "passes": [{"name": "calibrate", "curve": [{"update": 1}, {}]}]}"#,
      "'curve', element 2"
    ),
    (
      #"{"input": "a", "output": "b", "passes": [{"name": "calibrate", "curve": [{"update": 1}]}]}"#,
      "missing"
    ),
  ])
  func `a document that is no result is refused`(text: String, words: String) throws {
    let document = try JSONValue(parsing: Array(text.utf8))
    let error = #expect(throws: FormatError.self) { try ConversionResult(document, path: "r.json") }
    #expect(error?.description.hasPrefix("r.json: ") == true)
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }
}
