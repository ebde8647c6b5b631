import Checkpoints
import TestSupport
import Testing

@Suite struct GGUFExportRefusalTests {
  private func failure(
    _ sample: GGUFSample, _ options: GGUFExportOptions = .init(),
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String {
    let folder = try TemporaryFolder()
    let error = #expect(throws: FormatError.self, sourceLocation: sourceLocation) {
      try sample.write(to: folder, options)
    }
    #expect(try folder.names() == ["model"], "nothing may be written", sourceLocation: sourceLocation)
    return error?.description ?? ""
  }

  @Test func `refuses scales that F16 does not hold`() throws {
    #expect(
      try failure(GGUFSample(tables: .f32, firstScale: 0.1)).hasPrefix(
        "out.gguf: tensor 'model.layers.0.self_attn.q_proj.weight': row 0, group 0: Q4_1 has F16 scales, which do "
          + "not hold 0.1; --lossy rounds it"))
  }

  @Test func `refuses Q2_0 for a bias that is not the negative scale`() throws {
    #expect(
      try failure(GGUFSample(), GGUFExportOptions(linearType: .q2_0)).contains(
        "Q2_0 has no biases but -scale"))
  }

  @Test func `refuses Q2_0 for groups of 32`() throws {
    #expect(
      try failure(GGUFSample(groupSize: 32) { -$0 }, GGUFExportOptions(linearType: .q2_0)).contains(
        "Q2_0 has blocks of 64, which do not divide groups of 32"))
  }

  @Test func `refuses 8-bit codes with a bias of their own`() throws {
    #expect(try failure(GGUFSample(bits: 8)).contains("Q8_0 has no biases but -128 * scale"))
  }

  @Test func `refuses groups that no type has`() throws {
    #expect(
      try failure(GGUFSample(groupSize: 16)).contains(
        "Q4_1 has blocks of 32, which do not divide groups of 16"))
  }

  @Test func `refuses groups that are not computed, as floats, too`() throws {
    let text = try failure(GGUFSample(groupSize: 4), GGUFExportOptions(linearType: .f32))
    #expect(text.contains("groups of 4"), "\(text)")
  }

  @Test func `refuses values that are not finite, lossy or not`() throws {
    let sample = GGUFSample(tables: .f32, firstScale: .infinity)
    #expect(try failure(sample, GGUFExportOptions(isLossy: true)).contains("not finite"))
  }

  @Test func `writes Q2_0 when it is asked for and exact`() throws {
    let export = try GGUFSample(bias: { -$0 }).write(
      to: try TemporaryFolder(), GGUFExportOptions(linearType: .q2_0))
    #expect(export.typeCounts.contains { $0 == ("Q2_0", 7) })
    #expect(export.losses == [])
  }

  @Test func `prefers Q4_1, which every llama.cpp knows`() throws {
    let export = try GGUFSample(bias: { -$0 }).write(to: try TemporaryFolder())
    #expect(export.typeCounts.contains { $0 == ("Q4_1", 7) })
  }

  @Test func `rounds when that is allowed, and says by how much`() throws {
    let export = try GGUFSample(tables: .f32, firstScale: 0.1).write(
      to: try TemporaryFolder(), GGUFExportOptions(isLossy: true))
    #expect(export.losses.count == 7)
    let loss = try #require(export.losses.first)
    #expect(loss.tensor == "model.layers.0.self_attn.q_proj.weight" && loss.type == "Q4_1")
    // 0.1 is 2.4e-5 from its F16; a code of 3 takes that three times.
    #expect(loss.maximum > 2e-5 && loss.maximum < 8e-5)
    #expect(loss.mean > 0 && loss.mean < loss.maximum)
  }

  @Test(arguments: [
    ("model.layers.0.mlp.up_proj.scales_delta", DType.f32, [128, 2], "no trained changes"),
    ("model.layers.0.self_attn.rotary_emb.inv_freq", .f32, [32], "has other rotary frequencies"),
    ("lm_head.weight", .bf16, [5, 128], "has no place"),
    ("classifier.weight", .bf16, [2, 128], "has no place"),
  ])
  func `refuses a tensor without a place`(name: String, dtype: DType, shape: [Int], reason: String) throws {
    let sample = GGUFSample().checkpoint(adding: TensorInfo(name: name, dtype: dtype, shape: shape))
    let error = #expect(throws: FormatError.self) { try GGUFSample.plan(sample.contents) }
    guard case .notExact(let text) = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.place == "tensor '\(name)'" && text.contains(reason))
  }

  @Test func `refuses a bias that the architecture lacks`() throws {
    let name = "model.layers.0.self_attn.o_proj.bias"
    let sample = GGUFSample().checkpoint(adding: TensorInfo(name: name, dtype: .bf16, shape: [128]))
    let qwen = try GGUFSample.model([JSONValue.Member("model_type", .string("qwen2"))])
    let error = #expect(throws: FormatError.self) { try GGUFSample.plan(sample.contents, qwen) }
    #expect(error?.place == "tensor '\(name)'")
    guard case .notExact(let text) = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(text.contains("'qwen2'"))
  }

  @Test func `a tensor that is missing is malformed, not inexact`() throws {
    var contents = GGUFSample().checkpoint().contents
    contents.tensors.removeAll { $0.name == "model.norm.weight" }
    #expect(throws: FormatError("out.gguf", .missing("tensor 'model.norm.weight'"))) {
      try GGUFSample.plan(contents)
    }
  }

  @Test func `a tensor of another shape is refused with both`() throws {
    let model = try GGUFSample.model([JSONValue.Member("num_key_value_heads", .integer(2))])
    #expect(
      throws: FormatError(
        "out.gguf", at: "tensor 'model.layers.0.self_attn.k_proj.weight'",
        .shape(expected: [128, 128], found: [64, 128]))
    ) { try GGUFSample.plan(GGUFSample().checkpoint().contents, model) }
  }
}
