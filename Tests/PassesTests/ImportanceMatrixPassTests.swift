import Checkpoints
import Foundation
import Kernels
import Passes
import TestSupport
import Testing

/// The method `search` with llama.cpp's importance files.
@Suite struct ImportanceMatrixPassTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func search(_ change: (inout QuantizeOptions) -> Void = { _ in }) -> PassOptions {
    .quantize(
      QuantizeOptions {
        $0.method = .search
        $0.samples = 4
        $0.length = 64
        change(&$0)
      })
  }

  private func reading(_ path: String) -> PassOptions { search { $0.importance = PathOption(path) } }

  private func writing(to path: String) -> PassOptions {
    search {
      $0.texts = [Self.text]
      $0.importanceOutput = PathOption(path)
    }
  }

  /// Writes our own file of importance.
  private func write(_ values: [String: [Float]], in bench: Workbench) throws -> String {
    let path = bench.folder.path("own.safetensors")
    try SafetensorsFile.write(
      path, vectors: values.map { ($0.key + ".importance", $0.value) }, format: "rilq-importance",
      metadata: [("version", "1")])
    return path
  }

  /// The means that `Scripts/make-imatrix-golden.py` gives a tensor.
  private func means(_ number: Int, _ columns: Range<Int>) -> [Float] {
    columns.map { Float(1 + (31 * number + 7 * $0) % 251) / 16 }
  }

  // MARK: Reading

  @Test(arguments: ["tiny.gguf", "tiny.dat"])
  func `llama.cpp's importance gives the codes that ours does`(name: String) throws {
    let bench = try Workbench()
    let modules = (0..<2).flatMap { layer in
      ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"].map { (layer, $0) }
        + ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"].map { (layer, $0) }
    }
    var values: [String: [Float]] = [:]
    for (number, (layer, module)) in modules.enumerated() {
      values["model.layers.\(layer).\(module)"] = means(number, 0..<128)
    }
    let own = try bench.run(reading(try write(values, in: bench)), to: "own.rilq").checkpoint
    let other = try bench.run(reading(Fixtures.path("imatrix/\(name)")), to: "other.rilq").checkpoint
    try expectSameTensors(own, other)
    let plain = try bench.run(search(), to: "plain.rilq").checkpoint
    let up = "model.layers.1.mlp.up_proj.weight"
    #expect(try own.copiedBytes(of: up) != plain.copiedBytes(of: up))
  }

  @Test func `each expert has its part of a stack`() throws {
    let bench = try Workbench(FamilyModel.mixtral())
    var values: [String: [Float]] = [:]
    for layer in 0..<2 {
      let place = "model.layers.\(layer)."
      for (index, name) in ["q", "k", "v", "o"].enumerated() {
        values["\(place)self_attn.\(name)_proj"] = means(8 * layer + index, 0..<64)
      }
      for (index, name) in ["w1", "w3", "w2"].enumerated() {
        for expert in 0..<4 {
          values["\(place)block_sparse_moe.experts.\(expert).\(name)"] =
            expert == 2
            ? [Float](repeating: 1, count: 64)
            : means(8 * layer + 5 + index, 64 * expert..<64 * expert + 64)
        }
      }
    }
    let own = try bench.run(reading(try write(values, in: bench)), to: "own.rilq").checkpoint
    let other = try bench.run(reading(Fixtures.path("imatrix/mixtral.gguf")), to: "other.rilq").checkpoint
    try expectSameTensors(own, other)
  }

  /// llama.cpp computes in bf16, and measures the model as it is; here 8 bits change it little.
  @Test func `llama.cpp measures what we do`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let text = try Array(Data(contentsOf: URL(filePath: Self.text.resolved)).prefix(900))
    let (path, own) = (try bench.folder.write("t.txt", text), bench.folder.path("i.gguf"))
    try bench.run(
      search {
        ($0.bits, $0.groupSize) = (8, 32)
        $0.texts = [PathOption(path)]
        $0.importanceOutput = PathOption(own)
      })
    let found = try #require(try ImportanceMatrix(path: own))
    let expected = try #require(try ImportanceMatrix(path: Fixtures.path("imatrix/llama-imatrix.gguf")))
    #expect(found.entries.count == 28)
    for entry in found.entries {
      let other = try #require(expected.entries.first { $0.tensor == entry.tensor })
      #expect(entry.counts == [256] && other.counts == [256])
      let (a, b) = (try found.means(of: entry), try expected.means(of: other))
      #expect(relativeError(a, b) < 0.02, "\(entry.tensor)")
    }
  }

  // MARK: Writing

  @Test func `a written file gives the codes of its run`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let path = bench.folder.path("i.gguf")
    let first = try bench.run(writing(to: path), to: "first.rilq").checkpoint
    let second = try bench.run(reading(path), to: "second.rilq").checkpoint
    try expectSameTensors(first, second)
    let header = try GGUFHeader(of: InputFile(path: path, access: .mapped))
    #expect(
      header.metadata.keys == [
        "general.type", "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size",
      ])
    #expect(
      header.metadata["imatrix.datasets"]
        == .array(elementType: .string, [.string("calibration.txt")]))
    #expect(header.metadata["imatrix.chunk_count"] == .uint32(4))
    #expect(header.metadata["imatrix.chunk_size"] == .uint32(64))
    #expect(header.entries.count == 2 * 28)
    let down = try #require(header.entries.first { $0.name == "blk.3.ffn_down.weight.in_sum2" })
    #expect(down.shape == [384] && down.type == .f32)
  }

  @Test func `experts are stacked, and those that few tokens reached have no count`() throws {
    let bench = try Workbench(FamilyModel.mixtral())
    let (path, own) = (bench.folder.path("i.gguf"), bench.folder.path("i.safetensors"))
    let changes: (inout QuantizeOptions) -> Void = { ($0.samples, $0.length) = (1, 24) }
    for path in [path, own] {
      try bench.run(
        search {
          $0.texts = [Self.text]
          $0.importanceOutput = PathOption(path)
          changes(&$0)
        }, force: true)
    }
    let matrix = try #require(try ImportanceMatrix(path: path))
    let vectors = try SafetensorsFile(path: own)
    var counts: [Float] = []
    for entry in matrix.entries where entry.tensor.hasSuffix("ffn_gate_exps.weight") {
      let means = try matrix.means(of: entry)
      for expert in 0..<4 {
        let module =
          "model.layers.\(entry.tensor.hasPrefix("blk.0") ? 0 : 1).block_sparse_moe.experts.\(expert).w1"
        let vector = try #require(
          vectors.header.entries.first { $0.tensor.name == module + ".importance" })
        let expected = try vectors.bytes(of: vector).withSpan { widened($0, from: .f32) }
        let found = Array(means[64 * expert..<64 * expert + 64])
        #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-6 * abs($1) }, "\(module)")
      }
      counts += entry.counts
    }
    #expect(counts.count == 8 && counts.contains(0) && counts.contains { $0 > 0 })
  }

  /// The product of a matrix's squares with its importance must be the same in the model's GGUF file.
  @Test func `columns have the order of the model's GGUF file`() throws {
    let bench = try Workbench(FamilyModel.qwen3_5())
    let (path, own) = (bench.folder.path("i.gguf"), bench.folder.path("i.safetensors"))
    for path in [path, own] { try bench.run(writing(to: path), force: true) }
    try bench.run(to: "model.gguf")
    let module = "model.language_model.layers.0.linear_attn.out_proj"
    let matrix = try #require(try ImportanceMatrix(path: path))
    let entry = try #require(matrix.entries.first { $0.tensor == "blk.0.ssm_out.weight" })
    let vectors = try SafetensorsFile(path: own)
    let vector = try #require(vectors.header.entries.first { $0.tensor.name == module + ".importance" })
    let file = try InputFile(path: bench.folder.path("model.gguf"), access: .mapped)
    let header = try GGUFHeader(of: file)
    let weight = try #require(header.entries.first { $0.name == "blk.0.ssm_out.weight" })
    try #require(weight.type == .f32)
    let (inFile, importance) = (
      try matrix.means(of: entry), try vectors.bytes(of: vector).withSpan { widened($0, from: .f32) }
    )
    #expect(inFile != importance && inFile.sorted() == importance.sorted())
    let expected = products(try Fixtures.floats(module + ".weight", in: bench.input), importance)
    let found = products(try file.withBytes(in: weight.range) { widened($0, from: .f32) }, inFile)
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-9 * $1 })
  }

  /// For each row the sum of its squares, each times the importance of its column.
  private func products(_ weight: [Float], _ importance: [Float]) -> [Double] {
    stride(from: 0, to: weight.count, by: importance.count).map { start in
      let row = weight[start..<start + importance.count]
      let terms: [Float] = zip(row, importance).map { weight, importance in weight * weight * importance }
      // Sorted, because the order of the columns differs.
      return terms.sorted().reduce(0) { sum, term in sum + Double(term) }
    }
  }

  // MARK: Refusals

  private static let names = (0..<2).flatMap { layer in
    ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"].map {
      "blk.\(layer).\($0).weight"
    }
  }

  private func sums(_ name: String, columns: Int = 128, matrices: Int = 1) -> ImportanceMatrix.Sums {
    var sums = ImportanceMatrix.Sums(
      tensor: name, matrixCount: matrices, columnCount: columns, isStack: matrices > 1)
    sums.counts = [Int](repeating: 2, count: matrices)
    sums.values = [Float](repeating: 2, count: matrices * columns)
    return sums
  }

  /// The error of a file for the model of two layers with one tensor more or another one.
  private func refusal(_ change: (inout [String: ImportanceMatrix.Sums]) -> Void) throws -> String {
    let bench = try Workbench()
    var tensors: [String: ImportanceMatrix.Sums] = [:]
    for name in Self.names { tensors[name] = sums(name) }
    change(&tensors)
    let path = bench.folder.path("i.gguf")
    try ImportanceMatrix.write(
      path, tensors.values.sorted { $0.tensor < $1.tensor }, datasets: [], chunkCount: 1, chunkSize: 2)
    return message { try bench.run(reading(path)) }.replacing(bench.folder.path + "/", with: "")
  }

  private let name = "blk.1.ffn_up.weight"

  @Test func `a file that fits the checkpoint is taken`() throws {
    #expect(try refusal { _ in } == "no error")
    #expect(try refusal { $0["output.weight"] = sums("output.weight") } == "no error")
  }

  @Test func `refuses tensors that do not fit the checkpoint`() throws {
    #expect(
      try refusal { $0[name] = nil }.says(
        "i.gguf: tensor '\(name)' … 'model.layers.1.mlp.up_proj' … missing"))
    #expect(
      try refusal { $0[name] = sums(name, columns: 64) }.says(
        "i.gguf: tensor '\(name).in_sum2': … 64 … 128"))
    #expect(
      try refusal { $0[name] = sums(name, columns: 64, matrices: 2) }.says(
        "i.gguf: tensor '\(name).in_sum2': … 2 counts … 1"))
    for other in ["blk.2.attn_q.weight", "blk.0.attn_qkv.weight", "a", "blk.0.attn_norm.weight"] {
      #expect(
        try refusal { $0[other] = sums(other) }.says(
          "i.gguf: tensor '\(other).in_sum2': names no matrix …"))
    }
  }

  @Test(arguments: [-1, Float.nan, .infinity]) func `refuses values that are no importance`(value: Float)
    throws
  {
    let text = try refusal { $0[name]?.values[5] = value }
    #expect(text.says("i.gguf: byte … tensor '\(name).in_sum2': value 5 … \(value) … at least 0"))
  }

  @Test func `a model's GGUF file is no importance`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let text = message { try bench.run(reading(Fixtures.path("gguf/tiny-llama.gguf"))) }
    #expect(text.says("… tiny-llama.gguf: key 'general.type' …"))
  }
}
